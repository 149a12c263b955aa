package disk

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
)

// The folders of a cache directory.
const (
	blobsDir   = "blobs"
	stagedDir  = "staged"
	partialDir = "partial"
	scratchDir = "scratch"
	indexDir   = "index"
	pendingDir = "staged/names"
	lockFile   = "lock"
)

// Store is one cache directory, owned by one process.
type Store struct {
	dir      string
	o        Options
	lockFile *os.File
	free     func() (int64, error) // bytes of the file system that are available
	budget   atomic.Int64          // bytes of scratch that may be written before free is asked again

	mu      sync.Mutex // guards following
	copies  map[digest.Digest]*localCopy
	usage   Usage
	parts   map[digest.Digest]*Part
	closing map[digest.Digest]chan struct{} // parts whose map is being written
	evicted func(digest.Digest)
}

// localCopy is the table's entry for a blob. Its size is that of the whole blob, also of a partial one:
// the space is reserved.
type localCopy struct {
	state State
	size  int64
	used  time.Time
}

// Open locks a cache directory, making it if need be, removes the scratch files that a previous run
// left, and finds out what is there. It returns a *BusyError if another process holds the directory.
func Open(dir string, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cache directory %s: %w", dir, err)
	}
	for _, sub := range []string{"", blobsDir, stagedDir, partialDir, scratchDir, indexDir, pendingDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("cache directory: %w", err)
		}
	}
	s := &Store{
		dir: dir, o: o,
		copies: map[digest.Digest]*localCopy{}, parts: map[digest.Digest]*Part{}, closing: map[digest.Digest]chan struct{}{},
		evicted: func(digest.Digest) {},
	}
	s.free = s.available
	if s.lockFile, err = lock(dir, filepath.Join(dir, lockFile)); err != nil {
		return nil, err
	}
	if err := errors.Join(s.sweep(), s.scan()); err != nil {
		return nil, errors.Join(err, s.lockFile.Close())
	}
	return s, nil
}

// Close releases the directory. Parts must be closed before.
func (s *Store) Close() error { return s.lockFile.Close() }

// OnEvict sets what is called, without locks, with each blob that is evicted.
func (s *Store) OnEvict(f func(digest.Digest)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evicted = f
}

// Scratch is the folder for clients' temporary files; on the same file system as the blobs.
func (s *Store) Scratch() string { return filepath.Join(s.dir, scratchDir) }

// IndexDir is the folder of the index.
func (s *Store) IndexDir() string { return filepath.Join(s.dir, indexDir) }

func (s *Store) path(state State, d digest.Digest) string {
	folder := map[State]string{Partial: partialDir, Warm: blobsDir, Staged: stagedDir}[state]
	return filepath.Join(s.dir, folder, d.Algorithm().String(), d.Encoded())
}

// Stat tells about the local copy of d, without counting as a use.
func (s *Store) Stat(d digest.Digest) Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.copies[d]
	if !ok {
		return Info{Digest: d}
	}
	return Info{Digest: d, State: c.state, Size: c.size, Used: c.used}
}

// Open opens the complete local copy for reading and counts as a use; the error wraps fs.ErrNotExist
// when there is none.
func (s *Store) Open(d digest.Digest) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.copies[d]
	if !ok || c.state == Partial {
		return nil, fmt.Errorf("local copy of %s: %w", d, iofs.ErrNotExist)
	}
	f, err := os.Open(s.path(c.state, d))
	if errors.Is(err, iofs.ErrNotExist) {
		// Somebody cleared the folder under us. It is not here, so it can be fetched again.
		s.o.Log.Warn("a local copy has vanished", "blob", d, "was", c.state)
		s.drop(d)
	}
	if err != nil {
		return nil, fmt.Errorf("local copy of %s: %w", d, err)
	}
	c.used = time.Now()
	return f, nil
}

// Promote turns a staged blob into a warm one: it is in the bucket now. A warm one stays warm.
func (s *Store) Promote(d digest.Digest) error {
	if err := s.shift(d, Staged, Warm); err != nil {
		return err
	}
	_, err := s.makeRoom(0)
	return err
}

// Demote turns a warm blob into a staged one: the bucket has lost it. A staged one stays staged.
func (s *Store) Demote(d digest.Digest) error {
	if err := s.shift(d, Warm, Staged); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path(Staged, d)))
}

func (s *Store) shift(d digest.Digest, from, to State) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.copies[d]
	switch {
	case ok && c.state == to:
		return nil
	case !ok || c.state != from:
		return fmt.Errorf("make %s %s: %w", d, to, iofs.ErrNotExist)
	}
	if err := s.rename(s.path(from, d), to, d); err != nil {
		return fmt.Errorf("make %s %s: %w", d, to, err)
	}
	s.put(d, to, c.size)
	return nil
}

// rename moves a file to where a copy in that state belongs.
func (s *Store) rename(from string, to State, d digest.Digest) error {
	target := s.path(to, d)
	err := os.Rename(from, target)
	if !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return err
	}
	return os.Rename(from, target)
}

// Remove drops the warm or partial copy of d; a staged one stays, and so does a partial one that is
// open. Removing what is not there is no error.
func (s *Store) Remove(d digest.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove(d)
}

func (s *Store) remove(d digest.Digest) error {
	c, ok := s.copies[d]
	if !ok || c.state == Staged || s.busy(d) {
		return nil
	}
	path := s.path(c.state, d)
	if c.state == Partial {
		if err := os.Remove(path + mapSuffix); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return fmt.Errorf("remove the local copy of %s: %w", d, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return fmt.Errorf("remove the local copy of %s: %w", d, err)
	}
	s.drop(d)
	return nil
}

// busy says whether the partial copy of d is open.
func (s *Store) busy(d digest.Digest) bool {
	return s.parts[d] != nil || s.closing[d] != nil
}

// Touch sets when d was last used, for restoring that from the index at start.
func (s *Store) Touch(d digest.Digest, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.copies[d]; ok {
		c.used = t
	}
}

// All lists the local copies, from a snapshot.
func (s *Store) All() iter.Seq[Info] {
	return func(yield func(Info) bool) {
		s.mu.Lock()
		infos := make([]Info, 0, len(s.copies))
		for d, c := range s.copies {
			infos = append(infos, Info{Digest: d, State: c.state, Size: c.size, Used: c.used})
		}
		s.mu.Unlock()
		for _, info := range infos {
			if !yield(info) {
				return
			}
		}
	}
}

// Usage reports totals.
func (s *Store) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usage
}

// put sets the entry of d and drop removes it; both keep the totals.
func (s *Store) put(d digest.Digest, state State, size int64) {
	s.drop(d)
	s.copies[d] = &localCopy{state: state, size: size, used: time.Now()}
	s.usage.add(state, size, 1)
}

func (s *Store) drop(d digest.Digest) {
	if c, ok := s.copies[d]; ok {
		s.usage.add(c.state, -c.size, -1)
		delete(s.copies, d)
	}
}

func (u *Usage) add(state State, size int64, n int) {
	switch state {
	case Partial:
		u.PartialBytes += size
		u.PartialBlobs += n
	case Warm:
		u.WarmBytes += size
		u.WarmBlobs += n
	case Staged:
		u.StagedBytes += size
		u.StagedBlobs += n
	}
}

func (s *Store) available() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", s.dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// syncDir makes the entries of a directory durable.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
