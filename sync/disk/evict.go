package disk

import (
	"fmt"
	"slices"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// makeRoom evicts the least recently used warm and partial blobs until n more bytes fit under the
// limits, and a little further, so that the next call has nothing to do. It returns how many bytes
// are lacking under MinFree when there is nothing left to evict.
func (s *Store) makeRoom(n int64) (lacking int64, err error) {
	free, err := s.free()
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	over := max(s.over(n), s.o.MinFree+n-free)
	var gone []digest.Digest
	if over > 0 {
		gone = s.evict(over + s.slack())
	}
	evicted := s.evicted
	s.mu.Unlock()
	for _, d := range gone {
		evicted(d)
	}
	if over <= 0 || len(gone) == 0 {
		return s.o.MinFree + n - free, nil
	}
	if free, err = s.free(); err != nil {
		return 0, err
	}
	return s.o.MinFree + n - free, nil
}

// over is by how much n more bytes would exceed the cache size.
func (s *Store) over(n int64) int64 {
	if s.o.CacheSize <= 0 {
		return 0
	}
	return s.usage.WarmBytes + s.usage.PartialBytes + n - s.o.CacheSize
}

func (s *Store) slack() int64 { return s.o.CacheSize / 32 }

// evict removes blobs, oldest use first, until enough bytes are gone.
func (s *Store) evict(enough int64) []digest.Digest {
	var candidates, gone []digest.Digest
	for d, c := range s.copies {
		if c.state != Staged && !s.busy(d) {
			candidates = append(candidates, d)
		}
	}
	slices.SortFunc(candidates, func(a, b digest.Digest) int { return s.copies[a].used.Compare(s.copies[b].used) })
	for _, d := range candidates {
		if enough <= 0 {
			break
		}
		size := s.copies[d].size
		if err := s.remove(d); err != nil {
			s.o.Log.Warn("evict", "blob", d, "err", err)
			continue
		}
		s.usage.Evicted += size
		enough -= size
		gone = append(gone, d)
	}
	return gone
}

// admitStep is how many bytes of scratch are written between two looks at the free space.
const admitStep = 16 << 20

// Admit says whether n more bytes of scratch may be written. It evicts what it can; when that leaves
// too little, the error wraps ENOSPC.
func (s *Store) Admit(n int64) error {
	if s.budget.Add(-n) >= 0 {
		return nil
	}
	lacking, err := s.makeRoom(n)
	if err != nil {
		return err
	}
	if lacking > 0 {
		s.budget.Store(0)
		return s.full(n, lacking)
	}
	s.budget.Store(min(admitStep, -lacking))
	return nil
}

func (s *Store) full(n, lacking int64) error {
	return fmt.Errorf("%d bytes do not fit into %s: %d bytes are lacking to leave %d free (--min-free): %w",
		n, s.dir, lacking, s.o.MinFree, syscall.ENOSPC)
}
