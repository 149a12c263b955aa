package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/layoutfs/layoutfs/fs"
)

// Resolve is the absolute path of a mountpoint without symbolic links, so that all who mean it name it
// alike. It does not fail on a mount whose daemon is dead.
func Resolve(path string) (string, error) {
	if path == "" {
		return "", errors.New("mountpoint: the path is empty")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("mountpoint %s: %w", path, err)
	}
	if resolved, err := filepath.EvalSymlinks(abs); err == nil {
		return resolved, nil
	}
	// What is not there, or is a dead mount, is no link itself.
	if parent, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		return filepath.Join(parent, filepath.Base(abs)), nil
	}
	return abs, nil
}

// checkMountpoint makes sure that a path can be mounted on, after cleaning up a dead mount there.
func (c Config) checkMountpoint() error {
	if err := fs.CleanStale(c.Mountpoint); err != nil {
		return err
	}
	err := fs.Check(c.Mountpoint, c.AllowOther)
	if errors.Is(err, syscall.EBUSY) {
		return mountedBy(c.Mountpoint)
	}
	return err
}

func mountedBy(path string) error {
	for _, dir := range runtimeDirs() {
		if o := readOwner(entryPath(dir, path)); o.PID > 0 {
			return &MountedError{Mountpoint: path, PID: o.PID}
		}
	}
	return &MountedError{Mountpoint: path}
}

// unmountDead cleans up a mount that has no daemon any more; notFound is why there is none.
func unmountDead(mountpoint string, notFound error) error {
	if fs.IsStale(mountpoint) {
		return fs.CleanStale(mountpoint)
	}
	if mounted, err := fs.IsMounted(mountpoint); err != nil || mounted {
		return errors.Join(err, fmt.Errorf("%s is mounted by another user's layoutfs, or by one with another $%s: ask as it was mounted",
			mountpoint, runtimeDirEnv))
	}
	return notFound
}
