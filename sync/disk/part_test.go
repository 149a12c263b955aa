package disk

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestPartInAnyOrder(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}} {
		s := newStore(t, Options{})
		b := random(1, 3*ChunkSize+7)
		p := openPart(t, s, b)
		write(t, p, b, order...)
		must(t, p.Finish(t.Context()))
		must(t, p.Finish(t.Context()))
		wantState(t, s, p.digest, Warm)
		wantContent(t, s, b)
		got := make([]byte, len(b)+10)
		if n, err := p.ReadAt(got, 0); n != len(b) || !errors.Is(err, io.EOF) || !bytes.Equal(got[:n], b) {
			t.Errorf("the part reads %d bytes: %v", n, err)
		}
		must(t, p.Close())
		must(t, s.Close())
		s = reopen(t, s.dir, Options{})
		wantState(t, s, p.digest, Warm)
		wantContent(t, s, b)
	}
}

func TestPartReadsOnlyWhatIsThere(t *testing.T) {
	s := newStore(t, Options{})
	b := random(1, 4*ChunkSize)
	p := openPart(t, s, b)
	defer func() { must(t, p.Close()) }()
	write(t, p, b, 1, 2)
	got := make([]byte, ChunkSize)
	n, err := p.ReadAt(got, ChunkSize+ChunkSize/2)
	if err != nil || !bytes.Equal(got[:n], b[ChunkSize+ChunkSize/2:][:ChunkSize]) {
		t.Errorf("read: %v", err)
	}
	for _, off := range []int64{0, ChunkSize - 1, 2*ChunkSize + 1, 3 * ChunkSize} {
		if n, err := p.ReadAt(got, off); !errors.Is(err, errAbsent) || n != 0 {
			t.Errorf("read at %d: %d bytes, %v", off, n, err)
		}
	}
	if _, err := p.ReadAt(got, 4*ChunkSize); !errors.Is(err, io.EOF) {
		t.Errorf("read at the end: %v", err)
	}
	if _, err := p.ReadAt(got, -1); err == nil {
		t.Error("read before the beginning")
	}
	if gaps := p.Missing(-5, 100); !slices.Equal(gaps, []Range{{0, 1}, {3, 4}}) {
		t.Errorf("missing %v", gaps)
	}
	if err := p.Finish(t.Context()); !errors.Is(err, errAbsent) {
		t.Errorf("finish: %v", err)
	}
}

func TestPartRefusesWrongChunks(t *testing.T) {
	s := newStore(t, Options{})
	p := openPart(t, s, random(1, ChunkSize+10))
	defer func() { must(t, p.Close()) }()
	for i, n := range map[int]int{-1: ChunkSize, 0: ChunkSize - 1, 1: 11, 2: 0} {
		if err := p.WriteChunk(i, make([]byte, n)); err == nil {
			t.Errorf("chunk %d took %d bytes", i, n)
		}
	}
	for _, size := range []int64{-1, math.MaxInt64, maxSize + 1} {
		if _, err := s.Part(digest.FromString("x"), size); err == nil {
			t.Errorf("a part of %d bytes", size)
		}
	}
}

func TestPartWithWrongContentIsDropped(t *testing.T) {
	s := newStore(t, Options{})
	b := random(1, 2*ChunkSize)
	p := openPart(t, s, b)
	write(t, p, random(2, 2*ChunkSize), 0, 1)
	for range 2 {
		if err := p.Finish(t.Context()); !errors.Is(err, ErrMismatch) {
			t.Fatalf("finish: %v", err)
		}
	}
	if _, err := p.ReadAt(make([]byte, 1), 0); !errors.Is(err, ErrMismatch) {
		t.Errorf("read: %v", err)
	}
	wantState(t, s, p.digest, Absent)
	if u := s.Usage(); u.Mismatches != 1 || u.PartialBlobs != 0 {
		t.Errorf("usage %+v", u)
	}
	again := openPart(t, s, b)
	write(t, again, b, 0, 1)
	must(t, again.Finish(t.Context()))
	must(t, errors.Join(p.Close(), again.Close()))
	wantContent(t, s, b)
}

// A chunk that is there stays as it is, before and after it was verified.
func TestChunkIsWrittenOnce(t *testing.T) {
	s := newStore(t, Options{})
	b := random(1, ChunkSize)
	p := openPart(t, s, b)
	write(t, p, b, 0)
	write(t, p, random(2, ChunkSize), 0)
	must(t, p.Finish(t.Context()))
	write(t, p, random(2, ChunkSize), 0)
	wantContent(t, s, b)
	must(t, p.Close())
}

func TestPartIsShared(t *testing.T) {
	s := newStore(t, Options{})
	b := random(1, 2*ChunkSize)
	p := openPart(t, s, b)
	if again := openPart(t, s, b); again != p {
		t.Error("two parts of one blob")
	}
	if _, err := s.Part(p.digest, 5); !errors.Is(err, ErrMismatch) {
		t.Errorf("part of another size: %v", err)
	}
	must(t, p.Close())
	write(t, p, b, 0)
	must(t, p.Close())
	if err := p.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a close too many: %v", err)
	}
	if err := p.WriteChunk(1, chunk(b, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
}

func TestPartOfACompleteBlob(t *testing.T) {
	s := newStore(t, Options{})
	b := random(1, ChunkSize+1)
	stage(t, s, b)
	p := openPart(t, s, b)
	defer func() { must(t, p.Close()) }()
	must(t, p.Finish(t.Context()))
	got := make([]byte, 1)
	if _, err := p.ReadAt(got, ChunkSize); err != nil || got[0] != b[ChunkSize] || !p.Complete() {
		t.Errorf("read: %v", err)
	}
}

// The blob goes its way while a part of it is open; the part goes on by itself.
func TestPartLivesOn(t *testing.T) {
	b := random(1, 2*ChunkSize)
	for want, overtake := range map[State]func(*Store){
		Absent: func(s *Store) { must(t, s.Remove(digest.FromBytes(b))) },
		Staged: func(s *Store) { stage(t, s, b) },
	} {
		s := newStore(t, Options{})
		p := openPart(t, s, b)
		write(t, p, b, 0)
		overtake(s)
		write(t, p, b, 1)
		must(t, p.Finish(t.Context()))
		if _, err := p.ReadAt(make([]byte, 2*ChunkSize), 0); err != nil {
			t.Error(err)
		}
		must(t, p.Close())
		wantState(t, s, p.digest, want)
		if left := leftovers(t, s, partialDir); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

func TestEmptyBlob(t *testing.T) {
	s := newStore(t, Options{})
	p := openPart(t, s, nil)
	must(t, p.Finish(t.Context()))
	must(t, p.Close())
	wantContent(t, s, nil)
}

func TestGlanceLeavesNothing(t *testing.T) {
	s := newStore(t, Options{})
	must(t, openPart(t, s, random(1, 5*ChunkSize)).Close())
	if left := leftovers(t, s, partialDir); len(left) > 0 || s.Usage() != (Usage{}) {
		t.Errorf("left: %v, %+v", left, s.Usage())
	}
}

// A map is believed for the very file that it was made for.
func TestUntrustworthyMapIsDropped(t *testing.T) {
	b := random(1, 2*ChunkSize)
	for name, damage := range map[string]func(path string) error{
		"another file": func(path string) error {
			return errors.Join(os.Rename(path, path+"~"), os.WriteFile(path, make([]byte, len(b)), 0o600), os.Remove(path+"~"))
		},
		"file cut":    func(path string) error { return os.Truncate(path, ChunkSize) },
		"map cut":     func(path string) error { return os.Truncate(path+mapSuffix, 20) },
		"map flipped": func(path string) error { return os.WriteFile(path+mapSuffix, []byte("lfsmap1\n"), 0o600) },
	} {
		s := newStore(t, Options{})
		p := openPart(t, s, b)
		write(t, p, b, 0)
		must(t, p.Close())
		must(t, damage(s.file(partialDir, p.digest)))
		p = openPart(t, s, b)
		if p.Has(0) {
			t.Errorf("%s: the map was believed", name)
		}
		write(t, p, b, 0, 1)
		must(t, p.Finish(t.Context()))
		must(t, p.Close())
	}
}

func TestConcurrentWritersOfOnePart(t *testing.T) {
	s := newStore(t, Options{})
	b := random(1, 20*ChunkSize)
	p := openPart(t, s, b)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range p.Chunks() {
				if err := p.WriteChunk(i, chunk(b, i)); err != nil {
					t.Error(err)
				}
			}
			if err := p.Finish(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	must(t, p.Close())
	wantContent(t, s, b)
	if u := s.Usage(); u.WarmBytes != int64(len(b)) || u.PartialBytes != 0 {
		t.Errorf("usage %+v", u)
	}
}
