package disk

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// trash is a file that left its folder under the lock and is unlinked after it: unlinking a large file
// takes long, and its old path may be taken again meanwhile.
type trash struct {
	digest  digest.Digest
	path    string
	bytes   int64
	evicted bool  // to make room
	err     error // it could not be moved
}

// Admit says whether n more bytes may be written to scratch, and evicts to make room. The error wraps
// syscall.ENOSPC when they would take the free space below MinFree with nothing left to evict. It is
// cheap enough to be asked for each write.
func (s *Store) Admit(n int64) error {
	s.mu.Lock()
	gone, err := s.makeRoom(n)
	s.mu.Unlock()
	s.discard(gone)
	return err
}

// ample is how much more must fit for scratch to be written without being admitted.
const ample = 8 << 30

// Ample says whether so much could be written to scratch that it need not be admitted write by write, if all that
// may be evicted were. Nothing is evicted for it.
func (s *Store) Ample() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fits(ample) == nil
}

// admitChunk is Admit for what counts against CacheSize too.
func (s *Store) admitChunk(n int64) error {
	s.mu.Lock()
	gone := s.trim(n)
	more, err := s.makeRoom(n)
	s.mu.Unlock()
	s.discard(append(gone, more...))
	return err
}

// makeRoom evicts until n bytes can be written. With mu held.
func (s *Store) makeRoom(n int64) ([]trash, error) {
	if err := s.fits(n); err != nil {
		return nil, err
	}
	short, err := s.space.short(n)
	if err != nil {
		return nil, err
	}
	gone := s.evict(short)
	s.space.take(n)
	return gone, nil
}

// fits says whether n bytes could be written if all that may go were gone. With mu held.
func (s *Store) fits(n int64) error {
	short, err := s.space.short(n)
	if err == nil && short > s.table.idle {
		// The estimate may be behind: others free space too.
		if err = s.space.refresh(); err == nil {
			short, err = s.space.short(n)
		}
	}
	if err != nil {
		return err
	}
	if short > s.table.idle {
		return fmt.Errorf("cannot write %d bytes to %s: %d bytes are free, %d can be evicted, %d must stay free (--min-free): %w",
			n, s.dir, s.space.left, s.table.idle, s.space.minFree, syscall.ENOSPC)
	}
	return nil
}

// trim evicts until n more bytes are within CacheSize, as far as anything may go. With mu held.
func (s *Store) trim(n int64) []trash {
	if s.cacheSize <= 0 {
		return nil
	}
	stays := s.table.bytes() - s.table.idle
	// However much is staged or open, a little of what was read is kept: a manifest that was written a
	// moment ago must not be gone when it is opened.
	allowed := max(s.cacheSize-stays-n, s.cacheSize/10)
	return s.evict(s.table.idle - allowed)
}

// evict drops what was not used for the longest time, until the given number of bytes is free. With
// mu held.
func (s *Store) evict(bytes int64) []trash {
	var gone []trash
	for bytes > 0 && s.table.lru.len() > 0 {
		e := s.table.lru.oldest()
		bytes -= e.held
		s.evicted += e.held
		t := s.drop(e)
		t.evicted = true
		gone = append(gone, t)
	}
	return gone
}

// drop forgets an entry and moves its file out of the way; an open part of it lives on by itself.
// With mu held; what it returns goes to discard.
func (s *Store) drop(e *entry) trash {
	s.table.remove(e)
	s.seals.drop(e)
	if e.part != nil {
		e.part.entry = nil
	}
	path := s.path(e)
	t := trash{digest: e.digest, path: s.tempPath(), bytes: e.held}
	if e.dir == partialDir {
		t.err = remove(path + mapSuffix)
	}
	if err := os.Rename(path, t.path); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		t.err = errors.Join(t.err, err)
	}
	s.space.doom(t.bytes)
	return t
}

// remove removes a file that may be gone already.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return nil
}

// discard unlinks what was dropped. Without mu held.
func (s *Store) discard(gone []trash) {
	for _, t := range gone {
		if err := errors.Join(t.err, remove(t.path)); err != nil {
			s.log.Warn("drop a local copy", "blob", t.digest, "err", err)
		}
		s.mu.Lock()
		s.space.freed(t.bytes)
		s.mu.Unlock()
		if !t.evicted {
			continue
		}
		s.log.Debug("blob evicted", "blob", t.digest, "bytes", t.bytes)
		if s.onEvict != nil {
			s.onEvict(t.digest)
		}
	}
}
