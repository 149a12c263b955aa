package disk

import (
	_ "crypto/sha256" // go-digest has only the algorithms that are linked in
	_ "crypto/sha512"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// The folders of a cache directory.
const (
	warmDir    = "blobs"
	stagedDir  = "staged"
	partialDir = "partial"
	scratchDir = "scratch"
	indexDir   = "index"
	tmpDir     = "tmp"          // what is being written or removed; swept at start
	namesDir   = "staged/names" // publications that wait
	uploadsDir = "uploads"      // uploads in parts under way
	mapSuffix  = ".map"         // of a partial blob's map of chunks
)

// algorithms are those of the digests that are kept.
func algorithms() []digest.Algorithm {
	return []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512}
}

// folders lists what a cache directory has, parents first.
func folders() []string {
	list := []string{warmDir, stagedDir, partialDir, scratchDir, indexDir, tmpDir, namesDir, uploadsDir}
	for _, dir := range []string{warmDir, stagedDir, partialDir} {
		for _, alg := range algorithms() {
			list = append(list, filepath.Join(dir, alg.String()))
		}
	}
	return list
}

// checkOurs refuses a directory that has folders of our names without being ours: what is in them
// would be swept or evicted. A directory whose lock somebody removed still looks like ours.
func checkOurs(dir string) error {
	if exists(filepath.Join(dir, "lock")) {
		return nil
	}
	var found string
	whole := true
	for _, name := range []string{warmDir, stagedDir, partialDir, scratchDir, tmpDir, indexDir} {
		if exists(filepath.Join(dir, name)) {
			found = name
		} else {
			whole = false
		}
	}
	if found == "" || whole {
		return nil
	}
	return fmt.Errorf("%s is not a cache directory of layoutfs, but has a folder %q in it; give another --cache-dir", dir, found)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, iofs.ErrNotExist)
}

// makeFolders makes what is missing, durably: a staged blob is no safer than the folder it is in.
func makeFolders(dir string) error {
	for _, name := range folders() {
		path := filepath.Join(dir, name)
		err := os.Mkdir(path, 0o700)
		if errors.Is(err, iofs.ErrExist) {
			err = checkFolder(path)
		} else if err == nil {
			err = syncDir(filepath.Dir(path))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func checkFolder(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is in the way: it should be a directory", path)
	}
	return err
}

// sweep removes what is in a folder.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the entries of a folder durable.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// tempPath is a name in tmp/ that is not taken.
func (s *Store) tempPath() string {
	return filepath.Join(s.dir, tmpDir, fmt.Sprint(s.temps.Add(1)))
}

// writeTemp writes a file in tmp/, durably but for its name.
func (s *Store) writeTemp(b []byte) (path string, err error) {
	path = s.tempPath()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return path, nil
}

// moveDurably moves a temporary file to its place, or removes it.
func moveDurably(tmp, path string) error {
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}
