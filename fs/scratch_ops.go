package fs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// scratchOps is what the directories have in common that scratch may be in.
type scratchOps struct {
	dirOps
	self folder
}

var (
	_ fusefs.NodeLookuper  = (*scratchOps)(nil)
	_ fusefs.NodeCreater   = (*scratchOps)(nil)
	_ fusefs.NodeMknoder   = (*scratchOps)(nil)
	_ fusefs.NodeMkdirer   = (*scratchOps)(nil)
	_ fusefs.NodeSymlinker = (*scratchOps)(nil)
	_ fusefs.NodeLinker    = (*scratchOps)(nil)
	_ fusefs.NodeUnlinker  = (*scratchOps)(nil)
	_ fusefs.NodeRmdirer   = (*scratchOps)(nil)
	_ fusefs.NodeRenamer   = (*scratchOps)(nil)
)

// lstatIn calls f with what scratch has at a name, which stays so until f returns.
func (t *tree) lstatIn(d folder, name string, f func(*syscall.Stat_t)) error {
	t.moves.RLock()
	defer t.moves.RUnlock()
	st, err := lstat(filepath.Join(d.local(), name))
	if err == nil {
		f(st)
	}
	return err
}

// Lookup finds scratch.
func (d *scratchOps) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (inode *fusefs.Inode, errno syscall.Errno) {
	err := d.t.lstatIn(d.self, name, func(st *syscall.Stat_t) { inode, errno = d.t.found(ctx, d.self, name, st, out) })
	if err != nil {
		return nil, errnoOf(ctx, err)
	}
	return inode, errno
}

// found returns the node of scratch that is on local disk. t.moves is held.
func (t *tree) found(ctx context.Context, in folder, name string, st *syscall.Stat_t, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	t.fillStat(&out.Attr, st)
	out.SetAttrTimeout(scratchTTL)
	var create func() fusefs.InodeEmbedder
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		create = func() fusefs.InodeEmbedder { return newScratch(t, in, name) }
	case syscall.S_IFDIR:
		out.SetEntryTimeout(dirTTL)
		create = func() fusefs.InodeEmbedder { return newScratchDir(t, in, name) }
	case syscall.S_IFLNK:
		create = func() fusefs.InodeEmbedder { return newSymlink(t, in, name) }
	default:
		return nil, syscall.ENOENT
	}
	return t.homes.inode(ctx, in, name, t.inos.of(in, name, st.Mode), create), 0
}

// Create makes a scratch file, and opens it.
func (d *scratchOps) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	n := newScratch(d.t, d.self, name)
	var inode *fusefs.Inode
	var h *scratchHandle
	end := d.t.turn(d.self, name)
	err := d.t.in(d.self, name, func(path string) error {
		f, err := create(path, flags)
		if err != nil {
			return err
		}
		if h, err = newScratchHandle(ctx, n, f, flags, end); err != nil {
			return err
		}
		inode = d.t.homes.put(ctx, d.self, name, d.t.inos.of(d.self, name, syscall.S_IFREG), n)
		return nil
	})
	if err != nil {
		end()
		return nil, nil, 0, d.t.fail(ctx, "create", d.self, err)
	}
	errno := d.t.fail(ctx, "create", d.self, h.f.Chmod(d.t.localMode(mode)))
	if errno == 0 {
		errno = h.fill(&out.Attr)
	}
	if errno != 0 {
		_ = h.Release(ctx) // the kernel does not release what it did not get
		return nil, nil, 0, errno
	}
	n.announce(h)
	out.SetAttrTimeout(scratchTTL)
	return inode, h, 0, 0
}

// create makes a local file for the daemon alone, and opens it for reading.
func create(path string, flags uint32) (*os.File, error) {
	const kept = syscall.O_EXCL | syscall.O_TRUNC
	return os.OpenFile(path, int(flags&kept)|os.O_RDONLY|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
}

// localMode is the permissions of a local file that a client makes; the umask of this process is not the client's.
func (t *tree) localMode(mode uint32) os.FileMode { return localMode(mode&^t.umask, 0o600) }

// Mknod makes an empty scratch file. Of other kinds there are none: EPERM.
func (d *scratchOps) Mknod(ctx context.Context, name string, mode, _ uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, syscall.EPERM
	}
	n := newScratch(d.t, d.self, name)
	var inode *fusefs.Inode
	defer d.t.turn(d.self, name)()
	err := d.t.in(d.self, name, func(path string) error {
		f, err := create(path, syscall.O_EXCL)
		if err != nil {
			return err
		}
		inode = d.t.homes.put(ctx, d.self, name, d.t.inos.of(d.self, name, syscall.S_IFREG), n)
		return errors.Join(f.Chmod(d.t.localMode(mode)), f.Close())
	})
	if err != nil {
		return nil, d.t.fail(ctx, "mknod", d.self, err)
	}
	out.SetAttrTimeout(scratchTTL)
	return inode, d.t.fail(ctx, "stat", d.self, d.t.stat(&n.at, &out.Attr))
}

// Mkdir makes a scratch directory.
func (d *scratchOps) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	err := d.t.in(d.self, name, func(path string) error {
		err := os.Mkdir(path, 0o700)
		if err == nil {
			err = os.Chmod(path, localMode(mode&^d.t.umask, 0o700))
		}
		return err
	})
	if err != nil {
		return nil, d.t.fail(ctx, "mkdir", d.self, err)
	}
	return d.Lookup(ctx, name, out)
}

// Link refuses: the bytes of a blob must not be reachable by a second name.
func (d *scratchOps) Link(context.Context, fusefs.InodeEmbedder, string, *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

// Unlink removes a scratch file.
func (d *scratchOps) Unlink(ctx context.Context, name string) syscall.Errno {
	if isWanted(d.self, name) {
		return 0
	}
	if n, ok := d.t.nodeAt(d.self, name).(*file); ok {
		if _, err := n.draft.gate.wait(ctx); err != nil { // if it is being made a blob, it will be gone
			return errnoOf(ctx, err)
		}
	}
	return d.t.fail(ctx, "unlink", d.self, d.t.removeFrom(d.self, name, syscall.Unlink))
}

// Rmdir removes an empty scratch directory.
func (d *scratchOps) Rmdir(ctx context.Context, name string) syscall.Errno {
	return d.t.fail(ctx, "rmdir", d.self, d.t.removeFrom(d.self, name, syscall.Rmdir))
}

// nodeAt is the node of scratch at a name, or nil.
func (t *tree) nodeAt(in folder, name string) fusefs.InodeEmbedder {
	t.moves.RLock()
	defer t.moves.RUnlock()
	return t.homes.of(in, name)
}

// removeFrom removes scratch from local disk.
func (t *tree) removeFrom(d folder, name string, remove func(string) error) error {
	fd := -1 // it keeps the space of a large file from being given up, which takes time, before moves is let go
	defer func() { _ = unix.Close(fd) }()
	t.moves.Lock()
	defer t.moves.Unlock()
	path := filepath.Join(d.local(), name)
	st, err := lstat(path)
	if err == nil {
		fd, err = unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return err
	}
	if err := remove(path); err != nil {
		return err
	}
	if p := placeOf(t.homes.of(d, name)); p != nil {
		p.drop(t, st)
	}
	return nil
}
