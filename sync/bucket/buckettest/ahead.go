package buckettest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// draft is a blob that is still written.
type draft struct {
	mu sync.Mutex // guards following
	b  []byte
}

func (d *draft) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.NewReader(d.b).ReadAt(p, off)
}

func (d *draft) edit(f func(b []byte)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d.b)
}

// parts tells of each part that was sent.
type parts struct{ sent chan string }

func (p *parts) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if n := r.URL.Query().Get("partNumber"); n != "" && err == nil {
		p.sent <- n
	}
	return resp, err
}

// want waits for as many parts as have these numbers, in any order, and fails if it is others, or more.
func (p *parts) want(t *testing.T, numbers ...string) {
	t.Helper()
	var got []string
	for range numbers {
		got = append(got, <-p.sent)
	}
	slices.Sort(got)
	if !slices.Equal(got, numbers) || len(p.sent) > 0 {
		t.Errorf("parts %q are sent, and %d more, want %q", got, len(p.sent), numbers)
	}
}

// writing is a client that uploads a blob of three parts while it is written.
type writing struct {
	*bucket.Client
	digest  digest.Digest
	want    []byte
	draft   *draft
	parts   *parts
	journal *journal
	written chan int64
	ended   chan error
}

func startWriting(ctx context.Context, t *testing.T, cfg bucket.Config) *writing {
	t.Helper()
	want := Bytes(11 << 20)
	w := &writing{
		digest: digest.FromBytes(want), want: want, draft: &draft{b: bytes.Clone(want)},
		parts: &parts{sent: make(chan string, 100)}, journal: &journal{by: map[string]string{}},
		written: make(chan int64), ended: make(chan error, 1),
	}
	o := smallParts
	o.Transport = w.parts
	w.Client = OpenWith(t, cfg, o)
	if err := w.Remember(w.journal); err != nil {
		t.Fatal(err)
	}
	go func() { w.ended <- w.PutAhead(ctx, w.digest, w.draft, int64(len(want)), w.written) }()
	return w
}

// put is PutBlob of what is written by now.
func (w *writing) put(t *testing.T) {
	t.Helper()
	if err := w.PutBlob(t.Context(), w.digest, w.draft, int64(len(w.want))); err != nil {
		t.Fatal(err)
	}
	got, err := Get(t.Context(), w.Client, w.digest, 0, -1)
	if err != nil || !bytes.Equal(got, w.want) {
		t.Errorf("get: %d bytes, as it was written: %t, %v", len(got), bytes.Equal(got, w.want), err)
	}
	if w.journal.count() != 0 {
		t.Error("the upload has not ended")
	}
}

// wantEnd waits for the end of PutAhead.
func (w *writing) wantEnd(t *testing.T) {
	t.Helper()
	if err := <-w.ended; err != nil {
		t.Errorf("PutAhead: %v", err)
	}
}

// testAhead sends two parts of a blob while it is written; PutBlob sends the third alone.
func testAhead(t *testing.T, cfg bucket.Config) {
	w := startWriting(t.Context(), t, cfg)
	w.written <- 1
	w.written <- 10 << 20
	w.parts.want(t, "1", "2")
	if err := w.PutAhead(t.Context(), w.digest, w.draft, int64(len(w.want)), nil); err != nil {
		t.Errorf("a second one: %v", err)
	}
	if _, err := w.StatBlob(t.Context(), w.digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is in the bucket before it is written: %v", err)
	}
	w.put(t)
	w.parts.want(t, "3")
	w.wantEnd(t)
}

// testAheadRewritten has a client write again what was sent already.
func testAheadRewritten(t *testing.T, cfg bucket.Config) {
	w := startWriting(t.Context(), t, cfg)
	w.draft.edit(func(b []byte) { b[7<<20]++ })
	w.written <- int64(len(w.want))
	w.parts.want(t, "1", "2", "3")
	w.draft.edit(func(b []byte) { b[7<<20]-- })
	w.put(t)
	w.parts.want(t, "2")
	w.wantEnd(t)
}

// testAheadGivenUp has the client stop writing, and then write all of it.
func testAheadGivenUp(t *testing.T, cfg bucket.Config) {
	w := startWriting(t.Context(), t, cfg)
	w.written <- 6 << 20
	w.parts.want(t, "1")
	close(w.written)
	w.wantEnd(t)
	if w.journal.count() != 0 {
		t.Error("what was sent is not dropped")
	}
	w.put(t)
	w.parts.want(t, "1", "2", "3")
}
