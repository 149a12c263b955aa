package disk

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
)

// Promote turns a staged blob into a warm one: it is in the bucket now. A warm one stays as it is; for
// any other the error wraps fs.ErrNotExist.
//
// The rename is not made durable: after a power loss the blob may be staged again, and is looked for in
// the bucket before it would be uploaded.
func (s *Store) Promote(d digest.Digest) error {
	s.mu.Lock()
	gone, err := s.promote(d)
	s.mu.Unlock()
	s.discard(gone)
	if err != nil {
		return fmt.Errorf("promote blob %s: %w", d, err)
	}
	return nil
}

func (s *Store) promote(d digest.Digest) ([]trash, error) {
	e := s.table.get(d)
	if e == nil || !e.complete() {
		return nil, iofs.ErrNotExist
	}
	if e.state == Warm {
		return nil, nil
	}
	if err := s.move(e, warmDir, Warm); err != nil {
		return nil, err
	}
	s.table.update(e, func(e *entry) { e.used = time.Now() }) // its turn to be evicted has not come
	return s.trim(0), nil
}

// Demote turns a warm blob into a staged one: it turned out to be gone from the bucket. A staged one
// stays as it is; for any other the error wraps fs.ErrNotExist.
func (s *Store) Demote(d digest.Digest) error {
	if err := s.demote(d); err != nil {
		return fmt.Errorf("demote blob %s: %w", d, err)
	}
	return nil
}

func (s *Store) demote(d digest.Digest) error {
	e, f, err := s.pick(d)
	if err != nil {
		return err
	}
	// A download may not be durable yet.
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := s.stageWarm(e); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(s.file(stagedDir, d))), syncDir(filepath.Dir(s.file(warmDir, d))))
}

// pick opens the file of a complete blob.
func (s *Store) pick(d digest.Digest) (*entry, *os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.table.get(d)
	if s.closed || e == nil || !e.complete() {
		return nil, nil, iofs.ErrNotExist
	}
	f, err := s.openWhole(e)
	return e, f, err
}

// stageWarm moves a warm blob to staged/, unless it is gone meanwhile.
func (s *Store) stageWarm(e *entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.table.live(e) {
		return iofs.ErrNotExist
	}
	if e.state == Staged {
		return nil
	}
	return s.move(e, stagedDir, Staged)
}

// move gives a complete blob another state and folder. With mu held.
func (s *Store) move(e *entry, dir string, state State) error {
	from := s.path(e)
	to := s.file(dir, e.digest)
	if err := s.seals.keep(e, from, to, func() error { return os.Rename(from, to) }); err != nil {
		return err
	}
	if e.dir == partialDir {
		if err := remove(from + mapSuffix); err != nil {
			s.log.Warn("drop the map of a finished blob", "blob", e.digest, "err", err)
		}
	}
	s.table.update(e, func(e *entry) { e.dir, e.state = dir, state })
	return nil
}
