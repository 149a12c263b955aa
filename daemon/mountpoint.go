package daemon

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

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
func checkMountpoint(path string) error {
	if err := checkFuse(); err != nil {
		return err
	}
	if isDead(path) {
		if err := fs.CleanStale(path); err != nil {
			return fmt.Errorf("mountpoint %s holds a mount whose daemon is dead, which cannot be removed: %w", path, err)
		}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return fmt.Errorf("mountpoint %s does not exist: create it with mkdir -p %[1]s", path)
	case err != nil:
		return fmt.Errorf("mountpoint: %w", err)
	case !info.IsDir():
		return fmt.Errorf("mountpoint %s is not a folder", path)
	}
	if ours, err := isOurs(path); err != nil || ours {
		return errors.Join(err, mountedBy(path))
	}
	return nil
}

// checkFuse says what a machine lacks for mounting.
func checkFuse() error {
	const device = "/dev/fuse"
	if _, err := os.Stat(device); err != nil {
		return fmt.Errorf("%s is not there: load the module (modprobe fuse), or give it to the container (--device %[1]s --cap-add SYS_ADMIN)", device)
	}
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := fusermount(); err != nil {
		return errors.New("a plain user mounts with fusermount3, which is not there: install fuse3, or run as root")
	}
	return nil
}

func fusermount() (string, error) {
	if path, err := exec.LookPath("fusermount3"); err == nil {
		return path, nil
	}
	return exec.LookPath("fusermount")
}

// isDead says whether a mount is there whose daemon has ended.
func isDead(path string) bool {
	var st unix.Stat_t
	return errors.Is(unix.Stat(path, &st), syscall.ENOTCONN)
}

// isOurs says whether a layoutfs is mounted there. Another file system may be: it is covered.
func isOurs(path string) (bool, error) {
	found, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.Mountpoint != path || !strings.HasSuffix(m.FSType, ".layoutfs"), false
	})
	if err != nil {
		return false, fmt.Errorf("list the mounts: %w", err)
	}
	return len(found) > 0, nil
}

func mountedBy(path string) error {
	for _, dir := range runtimeDirs() {
		if o := readOwner(dir, path); o.PID > 0 {
			return &MountedError{Mountpoint: path, PID: o.PID}
		}
	}
	return &MountedError{Mountpoint: path}
}

// unmountDead cleans up a mount that has no daemon any more; notFound is why there is none.
func unmountDead(mountpoint string, notFound error) error {
	if isDead(mountpoint) {
		if err := fs.CleanStale(mountpoint); err != nil {
			return fmt.Errorf("%s: its daemon is dead, and the mount cannot be removed: %w", mountpoint, err)
		}
		return nil
	}
	if ours, err := isOurs(mountpoint); err != nil || ours {
		return errors.Join(err, fmt.Errorf("%s is mounted by layoutfs, but its control socket is not found: another user's, or another $%s",
			mountpoint, runtimeDirEnv))
	}
	return notFound
}

// detachMount takes a mount out of the tree though it is in use.
func detachMount(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if !errors.Is(err, unix.EPERM) {
		if err != nil {
			return fmt.Errorf("detach %s: %w", path, err)
		}
		return nil
	}
	helper, err := fusermount()
	if err != nil {
		return fmt.Errorf("detach %s: %w", path, err)
	}
	if out, err := exec.Command(helper, "-u", "-z", "--", path).CombinedOutput(); err != nil {
		return fmt.Errorf("detach %s: %w: %s", path, err, strings.TrimSpace(string(out)))
	}
	return nil
}
