package sync

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/disk"
)

// importing is a host with an empty disk that has opened the manifest of a cache, as an import does first.
func importing(t *testing.T, b *memBucket, c cache) *host {
	t.Helper()
	must(t, newHost(t, b, nil).export("", "latest", c))
	h := newHost(t, b, nil)
	if h.shownTags("")["latest"] != c.desc.Digest {
		t.Fatal("the name is not shown")
	}
	_, err := h.read(c.desc.Digest)
	must(t, err)
	h.awaitWarm(2) // the manifest, and its config, which is read to learn the order
	h.awaitOrder()
	return h
}

// awaitOrder returns when it is known what follows what in the manifest that was opened.
func (h *host) awaitOrder() {
	h.t.Helper()
	h.await("the order in which a manifest is read is learned", func() bool {
		h.chains.mu.Lock()
		defer h.chains.mu.Unlock()
		return len(h.chains.recent) == 1 && h.chains.learning == 0
	})
}

// await returns when something is so of which nobody tells.
func (h *host) await(what string, isSo func() bool) {
	h.t.Helper()
	for begun := time.Now(); !isSo(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			h.t.Fatalf("it is not so that %s", what)
		}
	}
}

// TestLayersAreFetchedAhead: those that follow the one that is read, as far as aheadBytes go, to the byte; and on from there when the next
// one is opened, which is complete by then.
func TestLayersAreFetchedAhead(t *testing.T) {
	b := newMemBucket()
	const size = 12 << 20
	const rest = aheadBytes - 2*size // of the last layer that is begun
	c := newCache(t, random(size, 1), random(size, 2), random(size, 3), random(size, 4), random(size, 5))
	h := importing(t, b, c)
	var ds []digest.Digest
	for _, l := range c.layers {
		ds = append(ds, digest.FromBytes(l))
	}
	_, err := h.read(ds[0])
	must(t, err)
	if warm := h.awaitWarm(3); !warm[ds[1]] || !warm[ds[2]] {
		t.Errorf("these were fetched: %v", warm)
	}
	docs := int64(len(c.config) + len(c.manifest))
	if got := h.awaitFetched(3*size + rest + docs); got != 3*size+rest+docs {
		t.Errorf("%d bytes were fetched when one layer of %d was read", got, size)
	}
	r, err := h.Open(t.Context(), ds[1])
	must(t, err)
	defer func() { _ = r.Close() }() // nothing is read
	if _, local := r.PassthroughFd(); !local {
		t.Error("the next layer is not local")
	}
	h.awaitWarm(1)
	if got := h.awaitFetched(4*size + rest + docs); got != 4*size+rest+docs {
		t.Errorf("%d bytes were fetched when two layers of %d were opened", got, size)
	}
}

// awaitFetched returns how many bytes were fetched, when it is at least n and nothing is on its way.
func (h *host) awaitFetched(n int64) (fetched int64) {
	h.t.Helper()
	h.await(fmt.Sprintf("%d bytes were fetched", n), func() bool {
		s := h.Status()
		fetched = s.Counters.FetchedBytes
		return fetched >= n && len(s.Downloading) == 0
	})
	return fetched
}

// TestNothingIsFetchedAheadOfAPiece: who reads a piece of a large layer does not want the next one.
func TestNothingIsFetchedAheadOfAPiece(t *testing.T) {
	b := newMemBucket()
	c := newCache(t, random(20<<20, 1), random(1000, 2))
	h := importing(t, b, c)
	r, err := h.Open(t.Context(), digest.FromBytes(c.layers[0]))
	must(t, err)
	defer func() { _ = r.Close() }() // it was only read
	_, err = r.ReadAt(t.Context(), make([]byte, 100), 7<<20)
	must(t, err)
	if got := h.Status().Counters.FetchedBytes; got > 8<<20 {
		t.Errorf("%d bytes were fetched for 100", got)
	}
}

// TestAnOpenWaitsForWhatIsOnItsWay: from when all that is missing of a blob is requested, an open gives the complete
// blob, which the kernel reads by itself.
func TestAnOpenWaitsForWhatIsOnItsWay(t *testing.T) {
	b := newMemBucket()
	want := random(small*disk.ChunkSize, 1)
	d := b.put(want)
	came := make(chan struct{})
	h := newHost(t, b, func(o *Options) { o.Blobs = late{b, came} })
	first, err := h.Open(t.Context(), d)
	must(t, err)
	defer func() { _ = first.Close() }() // it was only read
	_, err = first.ReadAt(t.Context(), make([]byte, 100), 0)
	must(t, err)
	opened := make(chan *Reader, 1)
	go func() {
		r, err := h.Open(t.Context(), d)
		if err != nil {
			t.Errorf("open: %v", err)
		}
		opened <- r
	}()
	select {
	case <-opened:
		close(came)
		t.Fatal("the open did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	close(came)
	r := <-opened
	defer func() { _ = r.Close() }() // it was only read
	if _, local := r.PassthroughFd(); !local {
		t.Error("what was opened is not the complete blob")
	}
	p := make([]byte, len(want))
	if _, err := r.ReadAt(t.Context(), p, 0); err != nil || !bytes.Equal(p, want) {
		t.Errorf("wrong bytes, or %v", err)
	}
}

// late is a bucket from which all but the first bytes of a blob come late.
type late struct {
	*memBucket
	came chan struct{}
}

func (l late) OpenBlob(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	if off > 0 {
		<-l.came
	}
	return l.memBucket.OpenBlob(ctx, d, off, n)
}

// TestEmptyBlob: nothing of it is fetched, and nobody waits for that.
func TestEmptyBlob(t *testing.T) {
	b := newMemBucket()
	d := b.put(nil)
	h := newHost(t, b, nil)
	if got, err := h.read(d); err != nil || len(got) > 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
