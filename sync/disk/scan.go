package disk

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
)

// scanner reads in the folders of blobs at start, by names and sizes only.
type scanner struct {
	s       *Store
	foreign int    // files that are not ours
	example string // one of them
}

// scan fills the table. Staged comes first: of a blob that is in two folders, the copy that may be the
// only one is kept.
func (s *Store) scan() error {
	sc := scanner{s: s}
	for _, folder := range []struct {
		dir   string
		state State
	}{{stagedDir, Staged}, {warmDir, Warm}, {partialDir, Partial}} {
		for _, alg := range algorithms() {
			if err := sc.folder(folder.dir, folder.state, alg); err != nil {
				return fmt.Errorf("scan what is there: %w", err)
			}
		}
	}
	if sc.foreign > 0 {
		s.log.Warn("files in the cache directory that are not ours are left alone", "files", sc.foreign, "one", sc.example)
	}
	return nil
}

// folder reads one folder, some entries at a time and in whatever order they come: there may be a
// hundred thousand.
func (sc *scanner) folder(dir string, state State, alg digest.Algorithm) error {
	path := filepath.Join(sc.s.dir, dir, alg.String())
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	maps := map[string]bool{}
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			if name, ok := strings.CutSuffix(e.Name(), mapSuffix); ok && state == Partial {
				maps[name] = true
			} else if err := sc.file(dir, state, alg, e); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if state != Partial {
		return nil
	}
	return sc.pair(alg, maps)
}

// file takes up one file.
func (sc *scanner) file(dir string, state State, alg digest.Algorithm, e iofs.DirEntry) error {
	d := digest.NewDigestFromEncoded(alg, e.Name())
	if d.Validate() != nil || !e.Type().IsRegular() {
		sc.strange(filepath.Join(dir, alg.String(), e.Name()))
		return nil
	}
	if sc.s.table.get(d) != nil {
		return remove(sc.s.file(dir, d))
	}
	info, err := e.Info()
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	held, used := info.Size(), info.ModTime()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if read := time.Unix(st.Atim.Unix()); read.After(used) {
			used = read
		}
		if state == Partial {
			held = min(held, st.Blocks*512)
		}
	}
	sc.s.table.add(&entry{digest: d, state: state, dir: dir, size: info.Size(), held: held, used: used, noted: used})
	return nil
}

func (sc *scanner) strange(path string) {
	sc.foreign++
	sc.example = path
}

// pair drops partial blobs without a map, of which nothing can be known, and maps without a blob.
// Whether a map is sound is seen when the blob is opened.
func (sc *scanner) pair(alg digest.Algorithm, maps map[string]bool) error {
	for d, e := range sc.s.table.entries {
		if e.state != Partial || d.Algorithm() != alg {
			continue
		}
		if !maps[d.Encoded()] {
			sc.s.table.remove(e)
			if err := remove(sc.s.path(e)); err != nil {
				return err
			}
		}
	}
	for name := range maps {
		d := digest.NewDigestFromEncoded(alg, name)
		if d.Validate() != nil {
			sc.strange(filepath.Join(partialDir, alg.String(), name+mapSuffix))
			continue
		}
		if e := sc.s.table.get(d); e == nil || e.state != Partial {
			if err := remove(sc.s.file(partialDir, d) + mapSuffix); err != nil {
				return err
			}
		}
	}
	return nil
}
