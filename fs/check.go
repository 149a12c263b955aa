package fs

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

const (
	fuseDevice = "/dev/fuse"
	fuseConf   = "/etc/fuse.conf"
)

// Check finds out what would keep a mount from being made, and says what to do about it. Mount does it
// itself; to ask before is to know before anything else is begun.
func Check(mountpoint string, allowOther bool) error {
	if err := check(mountpoint, allowOther); err != nil {
		return fmt.Errorf("mount on %s: %w", mountpoint, err)
	}
	return nil
}

func check(mountpoint string, allowOther bool) error {
	if err := checkDevice(fuseDevice); err != nil {
		return err
	}
	if err := checkMountpoint(mountpoint); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := fusermount(); err != nil {
		return err
	}
	if unix.Access(mountpoint, unix.W_OK) != nil {
		return refusal{syscall.EACCES, "a plain user mounts only where it may write: choose another folder, or run as root"}
	}
	if allowOther {
		return checkAllowOther(fuseConf)
	}
	return nil
}

func checkDevice(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, syscall.EACCES) {
		return refusal{syscall.EACCES, fmt.Sprintf("this user may not open %s: let it with \"chmod 666 %[1]s\", as udev does, or run as root", path)}
	}
	if err != nil {
		return fmt.Errorf("FUSE is not available: %w (load the kernel's module with \"modprobe fuse\"; in a container, "+
			"start that with \"--device %s --cap-add SYS_ADMIN\")", err, path)
	}
	return f.Close()
}

// checkMountpoint wants an empty folder: the files in another would be hidden.
func checkMountpoint(path string) error {
	if IsStale(path) {
		return refusal{syscall.ENOTCONN, fmt.Sprintf("a daemon that was killed has left its mount there: remove it with \"umount -l %s\"", path)}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return refusal{syscall.ENOENT, fmt.Sprintf("the folder does not exist: make it with \"mkdir -p %s\"", path)}
	case err != nil:
		return err
	case !info.IsDir():
		return refusal{syscall.ENOTDIR, "it is not a folder: choose one"}
	}
	if err := checkFree(path); err != nil {
		return err
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if _, err := dir.Readdirnames(1); !errors.Is(err, io.EOF) {
		return errors.Join(refusal{syscall.ENOTEMPTY, "the folder is not empty, and the mount would hide what is in it: choose an empty one"}, err)
	}
	return nil
}

// refusal is a reason not to mount. Its text says it all; the errno is for programs.
type refusal struct {
	errno syscall.Errno
	text  string
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.errno }

// checkFree refuses to mount over a mount of ours.
func checkFree(path string) error {
	full, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if full, err = filepath.Abs(full); err != nil {
		return err
	}
	mounted, err := IsMounted(full)
	if mounted {
		return refusal{syscall.EBUSY, "a layoutfs is mounted there already"}
	}
	return err
}

// IsMounted says whether a layoutfs is mounted on a folder, alive or dead. The path is absolute and has no
// symbolic links.
func IsMounted(path string) (bool, error) {
	found, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.Mountpoint != path || m.FSType != "fuse."+fsType, false
	})
	if err != nil {
		return false, fmt.Errorf("list the mounts: %w", err)
	}
	return len(found) > 0, nil
}

// fusermount finds the helper that mounts for those who are not root.
func fusermount() (string, error) {
	bin, err := exec.LookPath("fusermount3")
	if err == nil {
		return bin, nil
	}
	return "", fmt.Errorf("only root can mount without fusermount3: %w (install the package fuse3)", err)
}

func checkAllowOther(conf string) error {
	b, err := os.ReadFile(conf)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if strings.TrimSpace(line) == "user_allow_other" {
			return nil
		}
	}
	return refusal{syscall.EPERM, fmt.Sprintf("to let other users in, %s must have a line \"user_allow_other\"", conf)}
}
