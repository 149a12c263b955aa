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
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// noteGrain is how exactly the last use of a blob is kept in the times of its file, for the case that
// the index is lost.
const noteGrain = time.Minute

// Store is one cache directory, owned by one process. Its methods are safe for concurrent use.
type Store struct {
	dir       string
	lock      *os.File
	log       *slog.Logger
	cacheSize int64
	onEvict   func(digest.Digest)

	temps      atomic.Int64
	mismatches atomic.Int64
	rotten     atomic.Int64
	seals      seals
	buffers    sync.Pool      // of *[]byte, a chunk each
	settling   chan struct{}  // one place: what writes to the disk in the background takes turns
	work       sync.WaitGroup // in the background; begun with mu held while not closed

	pending sync.Mutex // held over changes in staged/names; apart from all others

	mu      sync.Mutex // guards following and the renames of blobs
	table   table
	space   space
	evicted int64
	closed  bool
	wrong   map[digest.Digest]bool // of which a copy was dropped for being wrong
}

// Scratch is the folder for clients' temporary files; on the same file system as the blobs.
func (s *Store) Scratch() string { return filepath.Join(s.dir, scratchDir) }

// IndexDir is the folder of the index.
func (s *Store) IndexDir() string { return filepath.Join(s.dir, indexDir) }

// file is where the file of a blob is, or would be, in one of the folders.
func (s *Store) file(dir string, d digest.Digest) string {
	return filepath.Join(s.dir, dir, d.Algorithm().String(), d.Encoded())
}

func (s *Store) path(e *entry) string { return s.file(e.dir, e.digest) }

// Stat tells about the local copy of d without touching its recency.
func (s *Store) Stat(d digest.Digest) Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.table.get(d); e != nil {
		return e.info()
	}
	return Info{Digest: d}
}

func (e *entry) info() Info {
	return Info{Digest: e.digest, State: e.state, Size: e.size, Used: e.used}
}

// Open opens the complete local copy (warm or staged) for reading and marks it used; an error
// wrapping fs.ErrNotExist when there is none. The file stays readable if the blob is evicted.
func (s *Store) Open(d digest.Digest) (*os.File, error) {
	_, f, err := s.openNoted(d)
	if err != nil {
		return nil, fmt.Errorf("open local copy of blob %s: %w", d, err)
	}
	return f, nil
}

// openNoted opens the file of an entry, and notes its use.
func (s *Store) openNoted(d digest.Digest) (*entry, *os.File, error) {
	s.mu.Lock()
	f, note, err := s.open(d)
	e := s.table.get(d)
	s.mu.Unlock()
	if err == nil && note {
		s.note(e, f.Name())
	}
	return e, f, err
}

// open opens with mu held, so that no rename comes between the state and the file.
func (s *Store) open(d digest.Digest) (f *os.File, note bool, err error) {
	if s.closed {
		return nil, false, os.ErrClosed
	}
	e := s.table.get(d)
	if e == nil || !e.complete() {
		return nil, false, iofs.ErrNotExist
	}
	if f, err = s.openWhole(e); err != nil {
		return nil, false, err
	}
	return f, s.used(e), nil
}

// openWhole opens the file of a complete blob. One that somebody removed or cut is forgotten, so that
// it can be fetched or written again. With mu held.
func (s *Store) openWhole(e *entry) (*os.File, error) {
	f, err := os.Open(s.path(e))
	if err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil && info.Size() == e.size {
			return f, nil
		}
		if err == nil {
			err = fmt.Errorf("it has %d bytes and had %d: %w", info.Size(), e.size, iofs.ErrNotExist)
		}
		f.Close()
	}
	if errors.Is(err, iofs.ErrNotExist) {
		s.log.Error("a local blob was removed or changed behind our back", "blob", e.digest, "state", e.state, "err", err)
		t := s.drop(e)
		s.work.Go(func() { s.discard([]trash{t}) })
	}
	return nil, err
}

// used marks an entry used now; true means that its file's times should tell. With mu held.
func (s *Store) used(e *entry) (note bool) {
	now := time.Now()
	note = now.Sub(e.noted) > noteGrain
	s.table.update(e, func(e *entry) {
		e.used = now
		if note {
			e.noted = now
		}
	})
	return note
}

// note sets the access time of a file, which a file system mounted noatime or relatime does not.
func (s *Store) note(e *entry, path string) {
	times := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_OMIT}}
	err := s.seals.keep(e, path, path, func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, path, times, 0) })
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		s.log.Debug("note the use of a blob", "path", path, "err", err)
	}
}

// Remove drops the warm and partial copies of d; staged copies stay. Removing what is not there is no
// error.
func (s *Store) Remove(d digest.Digest) error {
	s.mu.Lock()
	var gone []trash
	if e := s.table.get(d); e != nil && e.state != Staged {
		gone = append(gone, s.drop(e))
	}
	s.mu.Unlock()
	s.discard(gone)
	for _, t := range gone {
		if t.err != nil {
			return fmt.Errorf("remove local copy of blob %s: %w", d, t.err)
		}
	}
	return nil
}

// Touch sets the recency of d (for restoring it from the index at start).
func (s *Store) Touch(d digest.Digest, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.table.get(d); e != nil {
		s.table.update(e, func(e *entry) { e.used = t })
	}
}

// All lists the local copies as they are when the iteration begins, in no order.
func (s *Store) All() iter.Seq[Info] {
	return func(yield func(Info) bool) {
		s.mu.Lock()
		infos := make([]Info, 0, len(s.table.entries))
		for _, e := range s.table.entries {
			infos = append(infos, e.info())
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
	staged, warm, partial := s.table.totals[Staged], s.table.totals[Warm], s.table.totals[Partial]
	return Usage{
		StagedBytes: staged.bytes, StagedBlobs: staged.blobs,
		WarmBytes: warm.bytes, WarmBlobs: warm.blobs,
		PartialBytes: partial.bytes, PartialBlobs: partial.blobs,
		Evicted: s.evicted, Mismatches: s.mismatches.Load(), Rotten: s.rotten.Load(),
	}
}
