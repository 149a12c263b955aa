package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What the kernel writes itself (FUSE passthrough) goes to the local file and is not asked for, so a gate does not
// keep it out. A file is made a blob as it is only if nobody can write to it any more, and else a copy is. Who
// writes on writes to a file that has no name, and is told when he closes it.

// settled is the local file to make a blob of: that of the scratch, or a copy. done is told how that went.
func (n *file) settled(ctx context.Context) (local string, done func(error), err error) {
	var path string
	var kernel bool
	err = n.t.at(&n.at, func(p string) error {
		path, kernel = p, n.mayBeBacked()
		return nil
	})
	if err != nil || !kernel {
		return path, func(error) {}, err
	}
	n.awaitWriters(ctx)
	if n.isLeft(path) {
		return path, func(error) {}, nil
	}
	if local, err = n.t.copyOf(path); err != nil {
		return "", nil, err
	}
	return local, func(err error) { n.replaced(path, local, err) }, nil
}

// isLeft says whether nobody has the file at path open for writing, or mapped. From then on nobody will: an open
// would have to pass the gate. One that was just closed may still be counted by the kernel.
func (n *file) isLeft(path string) (left bool) {
	if n.isWritten() {
		return false
	}
	err := onFile(path, os.O_RDONLY, func(f *os.File) error {
		left = unwritten(f)
		for deadline := time.Now().Add(patience); !left && time.Now().Before(deadline); left = unwritten(f) {
			time.Sleep(time.Millisecond) // no event tells of it
		}
		return nil
	})
	return left && err == nil
}

// isWritten says whether a handle of the mount is open for writing.
func (n *file) isWritten() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.writers > 0
}

// unwritten says whether no process, and not the kernel for one, has a local file open or mapped for writing: then
// Linux grants a lease for reading.
func unwritten(f *os.File) bool {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		return false
	}
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	return err == nil
}

// copyOf makes a copy of scratch that nobody else has open.
func (t *tree) copyOf(path string) (local string, err error) {
	err = onFile(path, os.O_RDONLY, func(from *os.File) error {
		info, err := from.Stat()
		if err != nil {
			return err
		}
		if errno := t.admitBytes(max(info.Size(), 1)); errno != 0 {
			return errno
		}
		to, err := os.CreateTemp(t.spool, "copy-*")
		if err != nil {
			return err
		}
		local = to.Name()
		_, err = io.Copy(to, from)
		if err = errors.Join(err, to.Close()); err != nil {
			err = errors.Join(err, os.Remove(local))
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("copy what is still written to: %w", err)
	}
	return local, nil
}

// replaced ends the commit of a copy. If that is a blob, the node of the scratch is none to read it through: it has
// that file.
func (n *file) replaced(path, local string, err error) {
	gone := local
	if err == nil {
		n.supersede()
		gone = path
	}
	if err := os.Remove(gone); err != nil {
		n.t.log.Warn("remove scratch", "path", gone, "err", err)
	}
}
