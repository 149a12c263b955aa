package disk

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"iter"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// Look is a cache directory that is read and not changed, whether a daemon owns it or not.
type Look struct {
	dir  string
	lock *os.File // nil if a daemon owns it, or when it was released
	busy *BusyError
}

// OpenLook opens a cache directory to look at it. If no daemon owns it, none can until Release.
func OpenLook(dir string) (*Look, error) {
	for _, name := range []string{warmDir, stagedDir} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%s is not a cache directory of layoutfs: it has no folder %q; `layoutfs status` shows those of mounts", dir, name)
		}
	}
	l := &Look{dir: dir}
	f, err := os.Open(filepath.Join(dir, "lock"))
	if errors.Is(err, iofs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at cache directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		l.busy = &BusyError{Dir: dir, PID: readPID(f)}
		return l, f.Close()
	}
	l.lock = f
	return l, nil
}

// Busy says which daemon owns the directory; nil if none does.
func (l *Look) Busy() *BusyError { return l.busy }

// Release lets a daemon have the directory. It can still be looked at.
func (l *Look) Release() error {
	if l.lock == nil {
		return nil
	}
	err := l.lock.Close()
	l.lock = nil
	return err
}

// IndexDir is the folder of the index.
func (l *Look) IndexDir() string { return filepath.Join(l.dir, indexDir) }

// folders are where local copies are, the best first.
var lookIn = []struct {
	dir   string
	state State
}{{stagedDir, Staged}, {warmDir, Warm}, {partialDir, Partial}}

// All lists the local copies, possibly twice if a daemon moves one meanwhile.
func (l *Look) All() iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for _, in := range lookIn {
			for _, alg := range algorithms() {
				if !l.folder(in.dir, in.state, alg, yield) {
					return
				}
			}
		}
	}
}

// folder lists one folder; false when yield said so, or after an error.
func (l *Look) folder(dir string, state State, alg digest.Algorithm, yield func(Info, error) bool) bool {
	f, err := os.Open(filepath.Join(l.dir, dir, alg.String()))
	if errors.Is(err, iofs.ErrNotExist) {
		return true
	}
	if err != nil {
		yield(Info{}, fmt.Errorf("look at cache directory: %w", err))
		return false
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			d := digest.NewDigestFromEncoded(alg, e.Name())
			info, failed := e.Info()
			if d.Validate() != nil || failed != nil || !info.Mode().IsRegular() {
				continue // not ours, or gone meanwhile
			}
			if !yield(Info{Digest: d, State: state, Size: info.Size(), Used: lastUse(info)}, nil) {
				return false
			}
		}
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			yield(Info{}, fmt.Errorf("look at cache directory: %w", err))
			return false
		}
	}
}

func lastUse(info iofs.FileInfo) time.Time {
	used := info.ModTime()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if read := time.Unix(st.Atim.Unix()); read.After(used) {
			used = read
		}
	}
	return used
}

// Stat tells about the local copy of d.
func (l *Look) Stat(d digest.Digest) Info {
	if d.Validate() == nil {
		for _, in := range lookIn {
			if info, err := os.Lstat(l.file(in.dir, d)); err == nil && info.Mode().IsRegular() {
				return Info{Digest: d, State: in.state, Size: info.Size(), Used: lastUse(info)}
			}
		}
	}
	return Info{Digest: d}
}

// Open opens the complete local copy of d; an error wrapping fs.ErrNotExist when there is none.
func (l *Look) Open(d digest.Digest) (*os.File, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("open local copy of blob %q: %w", d, err)
	}
	// A daemon may move it from the first folder to the second in between, but not back and forth.
	for _, dir := range []string{stagedDir, warmDir, stagedDir} {
		f, err := os.OpenFile(l.file(dir, d), os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if !errors.Is(err, iofs.ErrNotExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("open local copy of blob %s: %w", d, iofs.ErrNotExist)
}

func (l *Look) file(dir string, d digest.Digest) string {
	return filepath.Join(l.dir, dir, d.Algorithm().String(), d.Encoded())
}

// Pending lists the publications that wait, by name.
func (l *Look) Pending() (map[string][]byte, error) {
	entries, err := os.ReadDir(filepath.Join(l.dir, namesDir))
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("list what waits: %w", err)
	}
	docs := map[string][]byte{}
	for _, e := range entries {
		name, doc, err := readPending(filepath.Join(l.dir, namesDir, e.Name()))
		if err == nil {
			docs[name] = doc
		}
	}
	return docs, nil
}
