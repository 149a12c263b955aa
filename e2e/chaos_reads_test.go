package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// readers reads blobs, and knows what they have.
type readers struct {
	dir   string
	blobs map[digest.Digest][]byte
	all   []digest.Digest
	reads atomic.Int64
	bytes atomic.Int64

	removed atomic.Int64
}

// TestChaosReads: several readers see nothing but the right bytes of blobs that load, whose local copies are removed or
// evicted meanwhile, and that load again: at random offsets and of random sizes, in order, through memory that is
// mapped, and past the end. Afterwards local disk is within its bound.
func TestChaosReads(t *testing.T) {
	const size = 8 << 20
	seed := seedOf(t)
	c := anyServer(t).config(t)
	h := newHost(t, c, "--cache-size", fmt.Sprint(size))
	w := newReaders(t, h, newPlainS3(t, c), seed)
	ctx, cancel := context.WithTimeout(t.Context(), timeOf(t, 4*time.Second, 16))
	defer cancel()
	var all sync.WaitGroup
	for i := range 7 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		step := w.one
		if i == 0 {
			step = w.remove
		}
		all.Go(func() {
			for n := 0; n < 3 || ctx.Err() == nil; n++ {
				if err := step(r); err != nil {
					t.Error(err)
					cancel()
					return
				}
			}
		})
	}
	all.Wait()
	s := h.status()
	t.Logf("%d reads of %d MiB; %d MiB were fetched, %d copies removed", w.reads.Load(), w.bytes.Load()>>20, s.Counters.FetchedBytes>>20, w.removed.Load())
	if s.Counters.FetchedBytes < w.total()/2 || w.removed.Load() == 0 {
		t.Error("nearly nothing was loaded: the test tests nothing")
	}
	eventually(t, "local disk is within its bound", func() bool {
		s := h.status()
		return s.Warm.Bytes+s.Partial.Bytes <= size
	})
}

// newReaders makes a cache of which a mount has nothing on local disk.
func newReaders(t *testing.T, h *host, p *plainS3, seed uint64) *readers {
	t.Helper()
	w := &readers{dir: h.path("blobs", "sha256"), blobs: map[digest.Digest][]byte{}}
	r := rand.New(rand.NewPCG(seed, 9))
	var layers [][]byte
	for _, size := range []int{1, 4095, 4097, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3_700_001, 5 << 20, 7_000_000} {
		b := randomBytes(r, size)
		p.put(b)
		layers = append(layers, b)
		w.blobs[digest.FromBytes(b)] = b
		w.all = append(w.all, digest.FromBytes(b))
	}
	p.do(http.MethodPut, p.c.Prefix+p.c.ManifestsPrefix+"app", nil, cacheConfigOf(t, newSynthetic(t, layers...))...)
	_, err := os.ReadFile(h.path("index.json"))
	must(t, err)
	return w
}

func (w *readers) total() (n int64) {
	for _, b := range w.blobs {
		n += int64(len(b))
	}
	return n
}

// remove removes the local copy of a blob now and then. It comes back from the bucket, for a name needs it.
func (w *readers) remove(r *rand.Rand) error {
	time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
	w.removed.Add(1)
	return os.Remove(filepath.Join(w.dir, w.all[r.IntN(len(w.all))].Encoded()))
}

// one opens a blob, reads some of it in one of several ways, and closes it.
func (w *readers) one(r *rand.Rand) (err error) {
	d := w.all[r.IntN(len(w.all))]
	want := w.blobs[d]
	f, err := os.Open(filepath.Join(w.dir, d.Encoded()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != int64(len(want)) {
		return fmt.Errorf("%s has %d bytes; want %d", d, info.Size(), len(want))
	}
	ways := []func(*os.File, []byte, *rand.Rand) error{w.anywhere, w.anywhere, w.inOrder, w.mapped, w.mapped}
	if err := ways[r.IntN(len(ways))](f, want, r); err != nil {
		return fmt.Errorf("%s of %d bytes: %w", d, len(want), err)
	}
	return nil
}

func (w *readers) note(n int) {
	w.reads.Add(1)
	w.bytes.Add(int64(n))
}

// anywhere reads pieces at random places, some of which reach past the end.
func (w *readers) anywhere(f *os.File, want []byte, r *rand.Rand) error {
	for range 1 + r.IntN(20) {
		off := r.IntN(len(want) + 10)
		b := make([]byte, 1+r.IntN(1<<r.IntN(22)))
		n, err := f.ReadAt(b, int64(off))
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		off = min(off, len(want))
		if err := differ(b[:n], want[off:min(off+len(b), len(want))], off); err != nil {
			return err
		}
		w.note(n)
	}
	return nil
}

func (w *readers) inOrder(f *os.File, want []byte, _ *rand.Rand) error {
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	w.note(len(b))
	return differ(b, want, 0)
}

// mapped reads in memory. A page that cannot be had is a fault there, and is made an error.
func (w *readers) mapped(f *os.File, want []byte, r *rand.Rand) (err error) {
	mem, err := unix.Mmap(int(f.Fd()), 0, len(want), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("map: %w", err)
	}
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("a page of the mapped blob cannot be had: %v", fault)
		}
		err = errors.Join(err, unix.Munmap(mem))
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for range 1 + r.IntN(10) {
		off := r.IntN(len(want))
		end := min(len(want), off+1+r.IntN(1<<r.IntN(21)))
		if err := differ(mem[off:end], want[off:end], off); err != nil {
			return err
		}
		w.note(end - off)
	}
	return nil
}
