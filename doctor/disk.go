package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/layoutfs/layoutfs/sync/disk"
)

const areaDisk = "disk"

// cacheDir tries the file system that the cache directory is on, or would be.
func cacheDir(_ context.Context, o Options, yield func(Finding) bool) bool {
	if o.CacheDir == "" {
		return true
	}
	at := existing(o.CacheDir)
	what := "cache directory " + o.CacheDir
	err := tryFolder(at)
	if !yield(judged(areaDisk, what, err, "let this user write there, or choose another folder with --cache-dir")) {
		return false
	}
	if err != nil {
		return true
	}
	return yield(owner(o.CacheDir)) && yield(space(at, o))
}

// existing is the folder itself, or the nearest one above that is there.
func existing(dir string) string {
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
	}
	return dir
}

// tryFolder writes, syncs and renames a file.
func tryFolder(dir string) (err error) {
	f, err := os.CreateTemp(dir, ".layoutfs-doctor-*")
	if err != nil {
		return err
	}
	renamed := f.Name() + ".renamed"
	defer func() { err = errors.Join(err, os.RemoveAll(f.Name()), os.RemoveAll(renamed)) }()
	_, err = f.WriteAt([]byte("x"), 1<<20) // sparse, as blobs are that are being fetched
	return errors.Join(err, f.Sync(), f.Close(), os.Rename(f.Name(), renamed))
}

// owner says whether a daemon uses the directory.
func owner(dir string) Finding {
	f := Finding{Area: areaDisk, What: "one daemon at a time", Result: OK}
	l, err := disk.OpenLook(dir)
	if err != nil {
		return f // there is none yet
	}
	if busy := l.Busy(); busy != nil {
		f.Result, f.Says = Warn, busy.Error()
		f.Do = "a second mount needs another --cache-dir"
	}
	if err := l.Release(); err != nil {
		f.Result, f.Says = Warn, err.Error()
	}
	return f
}

func space(dir string, o Options) Finding {
	f := Finding{Area: areaDisk, What: "space", Result: OK}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return judged(areaDisk, f.What, err, "")
	}
	minFree, err := o.MinFree(dir)
	if err != nil {
		return judged(areaDisk, f.What, err, "")
	}
	free := int64(st.Bavail) * st.Bsize
	f.Says = fmt.Sprintf("%s are free, of which %s stay so (--min-free)", humanize.IBytes(uint64(free)), humanize.IBytes(uint64(max(minFree, 0))))
	if free <= minFree {
		f.Result, f.Do = Fail, "make room, lower --min-free, or choose another --cache-dir: nothing could be written"
	}
	return f
}
