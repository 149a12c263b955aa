package verify

import (
	"bufio"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/layoutfs/layoutfs/inspect"
)

// keepState is how old a state may be: what was verified longer ago is verified again.
const keepState = 24 * time.Hour

// State remembers which blobs were verified, in a file, so that a run that was broken off can go on. A nil
// State remembers nothing.
type State struct {
	path string

	mu   sync.Mutex // guards following; a leaf
	seen map[string]bool
	file *os.File
	w    *bufio.Writer
	kept time.Time // when w was last flushed
	err  error
}

// keepEvery is how much work is lost when a run is killed.
const keepEvery = time.Second

// OpenState opens or begins a state. One that is too old, or anew says so, is begun anew.
func OpenState(path string, anew bool) (*State, error) {
	s := &State{path: path, seen: map[string]bool{}}
	if info, err := os.Stat(path); anew || err == nil && time.Since(info.ModTime()) > keepState {
		if err := os.Remove(path); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return nil, fmt.Errorf("begin anew: %w", err)
		}
	}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		s.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("remember what was verified: %w", err)
	}
	lines := bufio.NewScanner(s.file)
	for lines.Scan() {
		s.seen[lines.Text()] = true
	}
	if err := lines.Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("read what was verified: %w", err), s.file.Close())
	}
	s.w = bufio.NewWriter(s.file)
	return s, nil
}

// line is what is kept of a blob: another version of it is another line.
func line(b inspect.Blob) string {
	return b.Digest.String() + " " + strconv.FormatInt(b.Size, 10) + " " + strconv.FormatInt(b.Modified.Unix(), 10)
}

func (s *State) has(b inspect.Blob) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[line(b)]
}

// Verified is how many blobs an earlier run has verified.
func (s *State) Verified() int { return len(s.seen) }

// add notes a blob. A line that is cut off by a crash equals none.
func (s *State) add(b inspect.Blob) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.w.WriteString(line(b) + "\n")
	if err == nil && time.Since(s.kept) >= keepEvery {
		s.kept, err = time.Now(), s.w.Flush()
	}
	if s.err == nil {
		s.err = err
	}
}

// Close keeps the state for a run that goes on with it. After finish there is none.
func (s *State) Close() error {
	if s == nil || s.file == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errors.Join(s.err, s.w.Flush(), s.file.Close())
	s.file = nil
	return err
}

// finish forgets the state, at the end of a run that was not broken off.
func (s *State) finish() error {
	if s == nil {
		return nil
	}
	return errors.Join(s.Close(), os.Remove(s.path))
}
