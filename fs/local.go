package fs

import (
	"fmt"
	"os"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// onFile calls f with a local file that is not a symbolic link, opened with those flags.
func onFile(path string, flags int, f func(*os.File) error) error {
	file, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return f(file)
}

// reopen opens a local file once more, whatever became of its name.
func reopen(f *os.File, flags int) (*os.File, error) {
	return os.OpenFile(procPath(f), flags, 0)
}

// procPath is a path of an open file itself: it may have been removed.
func procPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// setMeta applies the permissions and times of a request to a local file or directory; atLeast are
// the permissions that a daemon that is not root needs itself.
func setMeta(f *os.File, in *fuse.SetAttrIn, atLeast uint32) error {
	if mode, ok := in.GetMode(); ok {
		if err := f.Chmod(localMode(mode, atLeast)); err != nil {
			return err
		}
	}
	given := timesOf(in)
	if !given.given() {
		return nil
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, procPath(f), given.timespecs(), 0)
}
