package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// BusyError says that another daemon holds the cache directory.
type BusyError struct {
	Dir string
	PID int // 0 if it is not known
}

func (e *BusyError) Error() string {
	holder := "another layoutfs"
	if e.PID > 0 {
		holder = fmt.Sprintf("layoutfs (pid %d)", e.PID)
	}
	return fmt.Sprintf("cache directory %s is in use by %s: unmount that one, or choose another with --cache-dir", e.Dir, holder)
}

// lock takes the file lock of a cache directory and leaves our pid in it.
func lock(dir, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the cache directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			b, _ := io.ReadAll(io.LimitReader(f, 32))
			pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
			return nil, &BusyError{Dir: dir, PID: pid}
		}
		return nil, fmt.Errorf("lock the cache directory: flock %s: %w", path, err)
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the cache directory: %w", err), f.Close())
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the cache directory: %w", err), f.Close())
	}
	return f, nil
}
