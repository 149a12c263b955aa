package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// Open locks the directory and scans what is there. It makes the directory if there is none. Scratch is
// left as it is: who writes there knows what of it is of use still. The error is a *BusyError when another
// process holds the directory.
func Open(dir string, o Options) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open cache directory: %w", err)
	}
	return open(dir, o, mounted(dir))
}

func open(dir string, o Options, v volume) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	lock, err := prepare(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: dir, lock: lock, log: o.Log, cacheSize: o.CacheSize, onEvict: o.OnEvict,
		table:    table{entries: map[digest.Digest]*entry{}},
		space:    space{volume: v, minFree: min(max(o.MinFree, 0), maxBytes)},
		settling: make(chan struct{}, 1), seals: newSeals(), wrong: map[digest.Digest]bool{},
	}
	s.buffers.New = func() any { b := make([]byte, ChunkSize); return &b }
	if err := s.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("open cache directory %s: %w", dir, err), lock.Close())
	}
	return s, nil
}

// prepare makes and locks the directory.
func prepare(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make cache directory %s: %w", dir, err)
	}
	if err := checkOurs(dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if busy := (*BusyError)(nil); errors.As(err, &busy) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("open cache directory %s: %w", dir, err)
	}
	return lock, nil
}

// start reads in what the previous run left, and evicts what is too much of it.
func (s *Store) start() error {
	if err := makeFolders(s.dir); err != nil {
		return err
	}
	if err := sweep(filepath.Join(s.dir, tmpDir)); err != nil {
		return fmt.Errorf("sweep what a previous run left: %w", err)
	}
	if err := s.scan(); err != nil {
		return err
	}
	s.mu.Lock()
	gone := s.trim(0)
	s.mu.Unlock()
	for i := range gone {
		gone[i].evicted = false // who would be told has not asked yet what there is
	}
	s.discard(gone)
	return nil
}

// Close keeps the maps of open parts, makes finished downloads durable, and releases the lock. Parts
// that are still open can be read, but no longer become warm.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var parts []*Part
	for _, e := range s.table.entries {
		if e.part != nil {
			parts = append(parts, e.part)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, p := range parts {
		errs = append(errs, p.save())
	}
	s.work.Wait()
	s.detach(parts)
	return errors.Join(append(errs, s.lock.Close())...)
}

// detach keeps parts from touching the directory, which is no longer ours.
func (s *Store) detach(parts []*Part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parts {
		if e := p.entry; e != nil {
			p.entry = nil
			s.table.update(e, func(e *entry) { e.part = nil })
		}
	}
}
