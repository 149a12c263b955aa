package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// entry is a daemon's place in the runtime directory. Its file is locked for as long as the daemon lives,
// so that what a killed one left can be told from what is alive.
type entry struct {
	file   *os.File
	socket string
}

// owner is the content of an entry's file.
type owner struct {
	Mountpoint string `json:"mountpoint"`
	PID        int    `json:"pid"`
}

// MountedError says that another daemon serves the mountpoint.
type MountedError struct {
	Mountpoint string
	PID        int // 0 if it is not known
}

func (e *MountedError) Error() string {
	by := "layoutfs"
	if e.PID > 0 {
		by = fmt.Sprintf("layoutfs (pid %d)", e.PID)
	}
	return fmt.Sprintf("%s is already mounted by %s: `layoutfs status %[1]s` tells more, `layoutfs umount %[1]s` ends it", e.Mountpoint, by)
}

// claim takes the entry of a mountpoint, and whatever a dead daemon left there.
func claim(dir, mountpoint string) (*entry, error) {
	f, err := lockEntry(entryPath(dir, mountpoint))
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, &MountedError{Mountpoint: mountpoint, PID: readOwner(entryPath(dir, mountpoint)).PID}
	}
	if err != nil {
		return nil, fmt.Errorf("take the runtime directory's entry for %s: %w", mountpoint, err)
	}
	e := &entry{file: f, socket: socketPath(dir, mountpoint)}
	if err := e.write(owner{Mountpoint: mountpoint, PID: os.Getpid()}); err != nil {
		return nil, errors.Join(fmt.Errorf("write the runtime directory's entry for %s: %w", mountpoint, err), e.release())
	}
	return e, nil
}

func (e *entry) write(o owner) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := e.file.Truncate(0); err != nil {
		return err
	}
	_, err = e.file.WriteAt(append(b, '\n'), 0)
	return err
}

// listen makes the control socket. Nobody but this user may connect, from its first moment on.
func (e *entry) listen() (net.Listener, error) {
	if err := os.Remove(e.socket); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: remove that of a dead daemon: %w", err)
	}
	l, err := net.Listen("unix", e.socket) // in a directory of mode 0700
	if err != nil {
		return nil, fmt.Errorf("control socket: %w (choose another place with $%s)", err, runtimeDirEnv)
	}
	if err := os.Chmod(e.socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return l, nil
}

// release removes the entry and gives it up.
func (e *entry) release() error {
	var errs []error
	for _, path := range []string{e.socket, e.file.Name()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, e.file.Close())...)
}

// lockEntry opens and locks a file that others remove while they hold its lock. It is tried for a moment,
// because sweep takes locks in passing.
func lockEntry(path string) (*os.File, error) {
	const tries, pause = 10, 20 * time.Millisecond
	for try := 1; ; try++ {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && isAt(f, path) {
			return f, nil
		}
		_ = f.Close() // nothing was written
		if err != nil && try == tries {
			return nil, err
		}
		if err != nil {
			time.Sleep(pause)
		}
	}
}

func isAt(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(open, there)
}

func readOwner(path string) owner {
	var o owner
	if b, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(b, &o) // one that is just being written names nobody
	}
	return o
}

// sweep removes what dead daemons left in a runtime directory.
func sweep(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range files {
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue // gone meanwhile
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil || !isAt(f, path) {
			_ = f.Close() // it is alive, or gone
			continue
		}
		dead := &entry{file: f, socket: strings.TrimSuffix(path, ".json") + ".sock"}
		errs = append(errs, dead.release())
	}
	return errors.Join(errs...)
}
