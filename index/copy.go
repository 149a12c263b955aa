package index

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/layoutfs/layoutfs/index/store"
)

// OpenCopy opens a copy of the index in dir, of which whoever looks at a cache directory may do as they like:
// Badger cannot read a database that was not closed without writing to it. Nobody may have it open meanwhile,
// which the lock of the cache directory ensures. discard closes the copy and removes it.
func OpenCopy(dir string, log *slog.Logger) (x *Index, discard func() error, err error) {
	tmp, err := os.MkdirTemp("", "layoutfs-index-")
	if err != nil {
		return nil, nil, fmt.Errorf("copy the index %s: %w", dir, err)
	}
	var b *store.Badger
	err = copyFiles(dir, tmp)
	if err == nil {
		b, err = store.OpenAsItIs(tmp, schema, log)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open a copy of the index %s: %w", dir, err), os.RemoveAll(tmp))
	}
	x = over(b, tmp, log)
	return x, func() error { return errors.Join(x.Close(), os.RemoveAll(tmp)) }, nil
}

func copyFiles(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return errors.New("it is empty")
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
