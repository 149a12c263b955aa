package disk

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
)

// sweep removes the scratch files of a previous run: their clients are gone.
func (s *Store) sweep() error {
	entries, err := os.ReadDir(s.Scratch())
	if err != nil {
		return fmt.Errorf("sweep scratch: %w", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.Scratch(), e.Name())); err != nil {
			return fmt.Errorf("sweep scratch: %w", err)
		}
	}
	return nil
}

// scan fills the table from the folders, by name and size; nothing is read. A copy that is there
// twice is kept where it is worth more.
func (s *Store) scan() error {
	for _, state := range []State{Staged, Warm, Partial} {
		root := filepath.Dir(filepath.Dir(s.path(state, digest.FromString(""))))
		algorithms, err := os.ReadDir(root)
		if err != nil {
			return fmt.Errorf("scan the cache directory: %w", err)
		}
		for _, alg := range algorithms {
			if !digest.Algorithm(alg.Name()).Available() || !alg.IsDir() {
				continue
			}
			if err := s.scanFolder(state, filepath.Join(root, alg.Name()), digest.Algorithm(alg.Name())); err != nil {
				return fmt.Errorf("scan the cache directory: %w", err)
			}
		}
	}
	return nil
}

func (s *Store) scanFolder(state State, folder string, alg digest.Algorithm) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
		d := digest.NewDigestFromEncoded(alg, e.Name())
		if err != nil || !info.Mode().IsRegular() || d.Validate() != nil {
			if state != Partial || !strings.HasSuffix(e.Name(), mapSuffix) {
				s.o.Log.Warn("a file that is no blob is left alone", "path", filepath.Join(folder, e.Name()))
			}
			continue
		}
		if err := s.found(state, d, info); err != nil {
			return err
		}
	}
	return nil
}

// found enters a file into the table, or removes it if it is worth nothing.
func (s *Store) found(state State, d digest.Digest, info os.FileInfo) error {
	path, size := s.path(state, d), info.Size()
	_, twice := s.copies[d]
	if state == Partial && !twice {
		m, err := readMap(path + mapSuffix)
		if err != nil || m.size != size {
			twice = true
		}
	}
	if twice {
		err := os.Remove(path)
		if state == Partial {
			if err := os.Remove(path + mapSuffix); err != nil && !errors.Is(err, iofs.ErrNotExist) {
				return err
			}
		}
		return err
	}
	s.put(d, state, size)
	s.copies[d].used = info.ModTime()
	return nil
}
