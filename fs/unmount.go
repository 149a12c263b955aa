package fs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Unmount ends the mount. While clients have files open in it, that is EBUSY and the mount stays.
func (s *Server) Unmount() error {
	return s.unmount(0)
}

// Detach takes the mount out of sight at once, and ends it when the last client has closed its files.
func (s *Server) Detach() error {
	return s.unmount(unix.MNT_DETACH)
}

func (s *Server) unmount(flags int) error {
	if err := unmount(s.mountpoint, flags); err != nil {
		return fmt.Errorf("unmount %s: %w", s.mountpoint, err)
	}
	if flags == 0 {
		s.Wait()
	}
	return nil
}

// CleanStale removes the mount that a killed daemon left on a folder, whose every use ends with
// "transport endpoint is not connected". It does nothing where there is none.
func CleanStale(mountpoint string) error {
	if !IsStale(mountpoint) {
		return nil
	}
	if err := unmount(mountpoint, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("remove the stale mount on %s: %w", mountpoint, err)
	}
	return nil
}

// IsStale says whether a mount is there whose daemon has ended. It asks for the file system's size,
// because a stat may be answered from what the kernel remembers of the dead.
func IsStale(mountpoint string) bool {
	var st unix.Statfs_t
	err := unix.Statfs(mountpoint, &st)
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED)
}

func unmount(mountpoint string, flags int) error {
	if os.Geteuid() == 0 {
		return unix.Unmount(mountpoint, flags|unix.UMOUNT_NOFOLLOW)
	}
	bin, err := fusermount()
	if err != nil {
		return err
	}
	args := []string{"-u", mountpoint}
	if flags&unix.MNT_DETACH != 0 {
		args = []string{"-u", "-z", mountpoint}
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	said := strings.TrimSpace(string(out))
	switch {
	case err == nil:
		return nil
	case strings.Contains(said, "busy"):
		return fmt.Errorf("%s: %w", said, syscall.EBUSY)
	}
	return fmt.Errorf("%s: %w", said, err)
}
