package sync

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// aheadBucket is a bucket in memory that is told of blobs that are still written.
type aheadBucket struct {
	*memBucket
	begun chan aheadPut
}

// aheadPut is a call of PutAhead, which returns when end is closed.
type aheadPut struct {
	digest  digest.Digest
	size    int64
	r       io.ReaderAt
	written <-chan int64
	end     chan struct{}
}

func (b *aheadBucket) PutAhead(ctx context.Context, d digest.Digest, r io.ReaderAt, size int64, written <-chan int64) error {
	p := aheadPut{digest: d, size: size, r: r, written: written, end: make(chan struct{})}
	b.begun <- p
	select {
	case <-p.end:
	case <-ctx.Done():
	}
	return nil
}

func newAheadHost(t *testing.T) (*host, *aheadBucket) {
	t.Helper()
	b := &aheadBucket{memBucket: newMemBucket(), begun: make(chan aheadPut, 100)}
	return newHost(t, b.memBucket, func(o *Options) { o.Blobs = b }), b
}

// expect opens a scratch file as containerd does, and says that it is to be d.
func (h *host) expect(d digest.Digest, size int64) *os.File {
	h.t.Helper()
	f, err := os.CreateTemp(h.o.Disk.Scratch(), "data")
	must(h.t, err)
	h.t.Cleanup(func() { _ = f.Close() }) // closed by then in some tests
	h.Expect(f.Name(), d, size)
	return f
}

// TestLargeBlobsGoUpWhileTheyAreWritten tells the bucket how much of a blob there is, until it is removed.
func TestLargeBlobsGoUpWhileTheyAreWritten(t *testing.T) {
	h, b := newAheadHost(t)
	d := digest.FromString("hello")
	f := h.expect(d, earlyFrom)
	p := <-b.begun
	if p.digest != d || p.size != earlyFrom {
		t.Errorf("it is told of %s of %d bytes", p.digest, p.size)
	}
	for i, s := range []string{"he", "llo"} {
		_, err := f.WriteString(s)
		must(t, err)
		if got := <-p.written; got != []int64{2, 5}[i] {
			t.Errorf("after %q it has %d bytes", s, got)
		}
	}
	if up := h.Status().Uploading; len(up) > 0 {
		t.Errorf("status shows %v ahead of the first byte", up)
	}
	_, err := p.r.ReadAt(make([]byte, 5), 0)
	must(t, err)
	if diff := cmp.Diff([]Transfer{{Digest: d, Done: 5, Size: earlyFrom}}, h.Status().Uploading); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	must(t, os.Remove(f.Name()))
	if n, more := <-p.written; more {
		t.Errorf("it goes on with %d bytes of a file that is removed", n)
	}
	close(p.end)
}

// TestOnlyWhatTheBucketLacksGoesUpEarly, and no more than other uploads at once.
func TestOnlyWhatTheBucketLacksGoesUpEarly(t *testing.T) {
	h, b := newAheadHost(t)
	h.expect(digest.FromString("small"), earlyFrom-1)
	h.expect(h.mustWrite([]byte("here")), earlyFrom)
	h.expect(b.put([]byte("there")), earlyFrom)
	for range DefaultUploads { // waits until nothing is under way
		h.early.places <- struct{}{}
	}
	for range DefaultUploads {
		<-h.early.places
	}
	for i := range DefaultUploads + 1 {
		h.expect(digest.FromString(string(rune('a'+i))), earlyFrom)
	}
	for range DefaultUploads {
		close((<-b.begun).end)
	}
	must(t, h.Close())
	if len(b.begun) > 0 {
		t.Errorf("it is told of %d more", len(b.begun))
	}
}

// TestWhatIsNotWrittenOnIsDropped, but for what waits for its turn.
func TestWhatIsNotWrittenOnIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := os.Create(filepath.Join(t.TempDir(), "data"))
		must(t, err)
		defer f.Close()
		_, err = f.WriteString("some")
		must(t, err)
		written, began := make(chan int64), time.Now()
		waits := func() bool { return time.Since(began) < 10*time.Minute }
		go follow(t.Context(), f, written, waits)
		if n := <-written; n != 4 {
			t.Errorf("it has %d bytes", n)
		}
		if n, more := <-written; more {
			t.Errorf("it has %d bytes", n)
		}
		if after := time.Since(began).Round(time.Minute); after != 10*time.Minute {
			t.Errorf("it is dropped after %s", after)
		}
	})
}
