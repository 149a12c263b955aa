package fs

import (
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
)

// staleAfter is how long scratch is kept that an earlier mount left: a client may resume what it was
// writing.
const staleAfter = 24 * time.Hour

// sweep removes the scratch of an earlier mount that is of no use: what was written to the name of a
// blob of a layout and is none, files older than staleAfter, and the directories that are empty then.
// Those of layouts stay: a client made them.
func (t *tree) sweep(now time.Time) {
	var dirs []string
	err := filepath.WalkDir(t.root, func(path string, e iofs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			dirs = append(dirs, path)
		case t.isStale(path, e, now):
			return ignoreMissing(os.Remove(path))
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		if inReserved(t.root, dirs[i]) {
			_ = os.Remove(dirs[i]) // only if it is empty
		}
	}
	anew, globErr := filepath.Glob(filepath.Join(t.spool, "*"))
	for _, path := range anew {
		err = errors.Join(err, ignoreMissing(os.Remove(path)))
	}
	if err = errors.Join(err, globErr); err != nil {
		t.log.Warn("sweep what an earlier mount left", "err", err)
	}
}

func (t *tree) isStale(path string, e iofs.DirEntry, now time.Time) bool {
	dir := filepath.Dir(path)
	if filepath.Base(filepath.Dir(dir)) == blobsName && algorithm(filepath.Base(dir)) && !inReserved(t.root, dir) {
		if _, ok := blobName(digest.Algorithm(filepath.Base(dir)), e.Name()); ok {
			return true
		}
	}
	if fixed(e.Name()) && !inReserved(t.root, dir) {
		return false // of a layout that a client began
	}
	info, err := e.Info()
	return err == nil && now.Sub(info.ModTime()) > staleAfter
}

// inReserved says whether a local directory is scratch.
func inReserved(root, dir string) bool {
	for ; dir != root; dir = filepath.Dir(dir) {
		if reserved(filepath.Base(dir)) {
			return true
		}
	}
	return false
}

func ignoreMissing(err error) error {
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	return err
}
