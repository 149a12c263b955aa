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
)

const (
	fuseDevice = "/dev/fuse"
	fuseConf   = "/etc/fuse.conf"
)

// check finds out what would keep a mount from being made, and says what to do about it.
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
	if allowOther {
		return checkAllowOther(fuseConf)
	}
	return nil
}

func checkDevice(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("FUSE is not available: %w (load the kernel's module with \"modprobe fuse\"; in a container, "+
			"start that with \"--device %s --cap-add SYS_ADMIN\")", err, path)
	}
	return f.Close()
}

// checkMountpoint wants an empty folder: the files in another would be hidden.
func checkMountpoint(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, syscall.ENOTCONN):
		return fmt.Errorf("a daemon that was killed has left its mount here: %w (unmount it first: \"umount -l %s\")", err, path)
	case errors.Is(err, iofs.ErrNotExist):
		return fmt.Errorf("%w (create the folder first)", err)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("not a folder: %w", syscall.ENOTDIR)
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
		return errors.Join(fmt.Errorf("the folder is not empty: the mount would hide what is in it: %w", syscall.ENOTEMPTY), err)
	}
	return nil
}

// checkFree refuses to mount over a mount of ours.
func checkFree(path string) error {
	full, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if full, err = filepath.Abs(full); err != nil {
		return err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(full))
	if err != nil {
		return fmt.Errorf("list the mounts: %w", err)
	}
	for _, m := range mounts {
		if m.FSType == "fuse."+fsType {
			return fmt.Errorf("already mounted, from %s: %w", m.Source, syscall.EBUSY)
		}
	}
	return nil
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
	return fmt.Errorf("to let other users in, %s must have a line \"user_allow_other\": %w", conf, syscall.EPERM)
}
