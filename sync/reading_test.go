package sync

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/disk"
)

func TestBucketWithWrongBytesIsNeverWarm(t *testing.T) {
	b := newMemBucket()
	good := random(6<<20, 1)
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 1
	d := b.putAs(digest.FromBytes(good), bad, time.Now())
	h := newHost(t, b, nil)
	if _, err := h.read(d); !errors.Is(err, disk.ErrMismatch) {
		t.Fatalf("read of a blob with a flipped bit: %v", err)
	}
	if state := h.o.Disk.Stat(d).State; state != disk.Absent {
		t.Errorf("the damaged copy is kept, in state %v", state)
	}
	b.putAs(d, good, time.Now())
	got, err := h.read(d)
	must(t, err)
	if !bytes.Equal(got, good) {
		t.Error("after the bucket was mended the blob is still wrong")
	}
}

// TestWrongBytesAreFoundInWhateverOrderTheyAreRead, and however many read them.
func TestWrongBytesAreFoundInWhateverOrderTheyAreRead(t *testing.T) {
	const piece = small * disk.ChunkSize / 4
	good := random(9*piece, 1)
	bad := bytes.Clone(good)
	bad[0] ^= 1
	for _, order := range [][]int{{8, 7, 6, 5, 4, 3, 2, 1, 0}, {1, 2, 3, 4, 5, 6, 7, 8, 0}, {0, 8, 2, 4, 6, 1, 3, 5, 7}} {
		b := newMemBucket()
		d := b.putAs(digest.FromBytes(good), bad, time.Now())
		h := newHost(t, b, nil)
		r, err := h.Open(t.Context(), d)
		must(t, err)
		var failed error
		for _, i := range order {
			if _, err := r.ReadAt(t.Context(), make([]byte, piece), int64(i)*piece); err != nil && !errors.Is(err, io.EOF) {
				failed = err
			}
		}
		must(t, r.Close())
		if !errors.Is(failed, disk.ErrMismatch) {
			t.Errorf("all of a damaged blob was read in the order %v: %v", order, failed)
		}
	}
}

func TestOfflineReadsWhatIsWarm(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(2<<20, 1), random(10, 2))
	must(t, h.export("", "latest", c))
	must(t, h.o.Disk.Remove(digest.FromBytes(c.layers[1])))
	b.failing(down)
	if h.shownTags("")["latest"] == "" {
		t.Error("without a bucket the names are gone")
	}
	if _, err := h.read(digest.FromBytes(c.layers[0])); err != nil {
		t.Errorf("read of a warm blob: %v", err)
	}
	if _, err := h.read(digest.FromBytes(c.layers[1])); err == nil {
		t.Error("read of a cold blob succeeded without a bucket")
	}
	h.o.Offline = true
	before := b.count("listnames") + b.count("stat") + b.count("open")
	h.restart()
	h.shownTags("")
	_, _ = h.read(digest.FromBytes(c.layers[1]))
	if after := b.count("listnames") + b.count("stat") + b.count("open"); after != before {
		t.Errorf("offline made %d requests", after-before)
	}
}

func TestAStatCostsNoMoreThanOneHead(t *testing.T) {
	b := newMemBucket()
	d := b.put([]byte("cold"))
	h := newHost(t, b, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if size, err := h.Stat(t.Context(), d); err != nil || size != 4 {
				t.Errorf("stat: %d, %v", size, err)
			}
		})
	}
	wg.Wait()
	h.restart() // what is known survives
	_, err := h.Stat(t.Context(), d)
	must(t, err)
	if got := b.count("stat"); got != 1 {
		t.Errorf("%d HEADs for one blob", got)
	}
}

func TestReadsFetchOnlyWhatTheyNeed(t *testing.T) {
	b := newMemBucket()
	want := random(64<<20, 1)
	d := b.put(want)
	h := newHost(t, b, nil)
	r, err := h.Open(t.Context(), d)
	must(t, err)
	defer func() { _ = r.Close() }() // it was only read
	p := make([]byte, 4096)
	_, err = r.ReadAt(t.Context(), p, 40<<20)
	must(t, err)
	if !bytes.Equal(p, want[40<<20:40<<20+4096]) {
		t.Error("wrong bytes")
	}
	if got := h.Status().Counters.FetchedBytes; got > 8<<20 {
		t.Errorf("%d bytes were fetched for 4096", got)
	}
}

func TestReadersShareADownload(t *testing.T) {
	b := newMemBucket()
	want := random(20<<20, 1)
	d := b.put(want)
	h := newHost(t, b, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := h.read(d)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("read: %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if got := h.Status().Counters.FetchedBytes; got != int64(len(want)) {
		t.Errorf("%d bytes were fetched of %d", got, len(want))
	}
}

func TestReadGoesOnAfterABrokenTransfer(t *testing.T) {
	b := newMemBucket()
	want := random(9<<20, 1)
	d := b.put(want)
	h := newHost(t, b, nil)
	var mu sync.Mutex
	failed := map[string]bool{}
	b.failing(func(_ context.Context, verb, key string) error {
		mu.Lock()
		defer mu.Unlock()
		if verb == "open" && !failed[key] {
			failed[key] = true
			return errors.New("connection reset by peer")
		}
		return nil
	})
	got, err := h.read(d)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("wrong bytes")
	}
}

// TestReadaheadGrowsWithWhatIsRead, and not with how small the pieces are that it is read in.
func TestReadaheadGrowsWithWhatIsRead(t *testing.T) {
	b := newMemBucket()
	d := b.put(random(40<<20, 1))
	var dl *download
	for _, piece := range []int64{64 << 10, 1 << 20} {
		h := newHost(t, b, nil)
		r, err := h.Open(t.Context(), d)
		must(t, err)
		for off := int64(0); off < 1<<20; off += piece {
			_, err := r.ReadAt(t.Context(), make([]byte, piece), off)
			must(t, err)
		}
		if ahead := (r.dl.frontier - step) * disk.ChunkSize; ahead > 4<<20 {
			t.Errorf("%d bytes are fetched ahead of who has read 1 MiB by %d", ahead, piece)
		}
		must(t, r.Close())
		dl = &download{part: r.dl.part}
	}
	for c := range 3 * windowMax {
		dl.pace(c, c+1)
	}
	if most := 3 * windowMax / 2; dl.window > most || dl.window < most-step {
		t.Errorf("%d chunks are fetched ahead of who has read %d in order", dl.window, 3*windowMax)
	}
	dl.pace(9*windowMax, 9*windowMax+1)
	dl.pace(9*windowMax+1, 9*windowMax+1+step)
	if dl.window != windowMin {
		t.Errorf("%d chunks are fetched ahead of who has just jumped", dl.window)
	}
}
