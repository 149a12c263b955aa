package disk

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	var evicted []digest.Digest
	s := newStore(t, Options{CacheSize: 3000, OnEvict: func(d digest.Digest) { evicted = append(evicted, d) }})
	a, b, c := warm(t, s, random(1, 1000)), warm(t, s, random(2, 1000)), warm(t, s, random(3, 1000))
	s.Touch(a, time.Now())
	s.Touch(c, time.Now().Add(-time.Hour))
	warm(t, s, random(4, 1000))
	warm(t, s, random(5, 1000))
	if !slices.Equal(evicted, []digest.Digest{c, b}) {
		t.Errorf("evicted %v, want %v", evicted, []digest.Digest{c, b})
	}
	wantState(t, s, a, Warm)
	if u := s.Usage(); u.Evicted != 2000 || u.WarmBytes != 3000 || len(leftovers(t, s, tmpDir)) > 0 {
		t.Errorf("usage %+v", u)
	}
}

func TestStagedIsNeverEvicted(t *testing.T) {
	s := newStore(t, Options{CacheSize: 10_000})
	var staged []digest.Digest
	for i := range byte(5) {
		staged = append(staged, stage(t, s, random(i, 5000)))
	}
	small := warm(t, s, random(100, 500))
	for _, d := range staged {
		wantState(t, s, d, Staged)
	}
	wantState(t, s, small, Warm) // a manifest that was just written must be readable
	for _, d := range staged {
		must(t, s.Promote(d))
	}
	if u := s.Usage(); u.WarmBytes > 10_000 {
		t.Errorf("usage %+v", u)
	}
}

func TestBlobLargerThanTheCache(t *testing.T) {
	s := newStore(t, Options{CacheSize: ChunkSize})
	b := random(1, 4*ChunkSize)
	p := openPart(t, s, b)
	write(t, p, b, 0, 1, 2, 3)
	must(t, p.Finish(t.Context()))
	wantContent(t, s, b)
	must(t, p.Close())
	wantState(t, s, p.digest, Absent)
}

func TestOpenPartIsNotEvicted(t *testing.T) {
	s := newStore(t, Options{CacheSize: 2 * ChunkSize})
	b := random(1, 3*ChunkSize)
	p := openPart(t, s, b)
	write(t, p, b, 0)
	warm(t, s, random(2, ChunkSize))
	warm(t, s, random(3, ChunkSize))
	wantState(t, s, p.digest, Partial)
	must(t, p.Close())
	warm(t, s, random(4, ChunkSize))
	warm(t, s, random(5, ChunkSize))
	wantState(t, s, p.digest, Absent)
}

func TestScratchLeavesMinFree(t *testing.T) {
	s, v := onVolume(t, 10_000, Options{MinFree: 2000})
	must(t, s.Admit(8000))
	v.free.Store(2000) // they are written
	err := s.Admit(1)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), s.dir) {
		t.Fatalf("admit: %v", err)
	}
	v.free.Store(2100) // as if somebody had freed some
	must(t, s.Admit(100))
}

func TestAdmitEvicts(t *testing.T) {
	var gone atomic.Int64
	s, v := onVolume(t, 1<<30, Options{MinFree: 2000, OnEvict: func(digest.Digest) { gone.Add(1) }})
	old, young := warm(t, s, random(1, 1000)), warm(t, s, random(2, 1000))
	staged := stage(t, s, random(3, 1000))
	s.space.asked = time.Time{}
	v.free.Store(2500)
	must(t, s.Admit(1000))
	wantState(t, s, old, Absent)
	wantState(t, s, young, Warm)
	if err := s.Admit(50_000); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("admit: %v", err)
	}
	wantState(t, s, young, Warm) // nothing is evicted in vain
	wantState(t, s, staged, Staged)
	if gone.Load() != 1 {
		t.Errorf("told of %d", gone.Load())
	}
}

func TestPartNeedsSpace(t *testing.T) {
	s, v := onVolume(t, 3*ChunkSize, Options{MinFree: ChunkSize})
	b := random(1, 2*ChunkSize)
	if _, err := s.Part(digest.FromString("large"), 3*ChunkSize); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("part: %v", err)
	}
	p := openPart(t, s, b)
	write(t, p, b, 0)
	s.space.asked = time.Time{}
	v.free.Store(ChunkSize)
	if err := p.WriteChunk(1, chunk(b, 1)); !errors.Is(err, syscall.ENOSPC) || p.Has(1) {
		t.Fatalf("write: %v", err)
	}
	v.free.Store(10 * ChunkSize)
	write(t, p, b, 1)
	must(t, p.Finish(t.Context()))
	must(t, p.Close())
}

func TestFreeSpaceIsAskedForSparingly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &countedVolume{}
		sp := space{volume: v}
		for range 100 {
			_, err := sp.short(1000)
			must(t, err)
			sp.take(1000)
		}
		if v.asked != 1 {
			t.Errorf("asked %d times for 100 writes", v.asked)
		}
		time.Sleep(spaceAge + 1)
		_, err := sp.short(1)
		must(t, err)
		if v.asked != 2 {
			t.Errorf("asked %d times after a while", v.asked)
		}
	})
}

type countedVolume struct{ asked int }

func (v *countedVolume) Free() (int64, error) {
	v.asked++
	return 1 << 40, nil
}

func TestAmpleCountsWhatMayGo(t *testing.T) {
	s, v := onVolume(t, ample+2000, Options{MinFree: 1000})
	warm(t, s, random(1, 1000))
	staged := stage(t, s, random(2, 1000))
	for free, want := range map[int64]bool{ample + 1000: true, ample: true, ample - 1: false} {
		v.free.Store(free)
		if got := s.Ample(); got != want {
			t.Errorf("with %d bytes free, 1000 to be left and 1000 that may go it is %t", free, got)
		}
	}
	wantState(t, s, staged, Staged)
	if u := s.Usage(); u.WarmBlobs != 1 {
		t.Errorf("the question has evicted: %+v", u)
	}
}
