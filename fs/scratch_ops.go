package fs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
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

// lstatIn describes what scratch has at a name.
func (t *tree) lstatIn(d folder, name string) (*syscall.Stat_t, error) {
	t.moves.RLock()
	defer t.moves.RUnlock()
	return lstat(filepath.Join(d.local(), name))
}

// Lookup finds scratch.
func (d *scratchOps) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	st, err := d.t.lstatIn(d.self, name)
	if err != nil {
		return nil, errnoOf(ctx, err)
	}
	return d.t.found(ctx, d.self, name, st, out)
}

// found returns the node of scratch that is on local disk.
func (t *tree) found(ctx context.Context, in folder, name string, st *syscall.Stat_t, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	t.fillStat(&out.Attr, st)
	out.SetAttrTimeout(scratchTTL)
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return child(ctx, in, name, st.Mode, (*file).isScratch, func() *file { return newScratch(t, in, name) }), 0
	case syscall.S_IFDIR:
		out.SetEntryTimeout(dirTTL)
		return child(ctx, in, name, st.Mode, (*scratchDir).isThere, func() *scratchDir { return newScratchDir(t, in, name) }), 0
	case syscall.S_IFLNK:
		return child(ctx, in, name, st.Mode, (*symlink).isThere, func() *symlink { return newSymlink(t, in, name) }), 0
	}
	return nil, syscall.ENOENT
}

// Create makes a scratch file, and opens it.
func (d *scratchOps) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	n := newScratch(d.t, d.self, name)
	var h *scratchHandle
	err := d.t.in(d.self, name, func(path string) error {
		f, err := os.OpenFile(path, int(flags&createFlags)|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		if err := f.Chmod(localMode(mode&^d.t.umask, 0o600)); err != nil { // the umask of this process is not the client's
			return errors.Join(err, f.Close())
		}
		h = newScratchHandle(n, f, flags)
		return nil
	})
	if err != nil {
		return nil, nil, 0, d.t.fail(ctx, "create", d.self, err)
	}
	if errno := h.fill(&out.Attr); errno != 0 {
		_ = h.Release(ctx) // the kernel does not release what it did not get
		return nil, nil, 0, errno
	}
	out.SetAttrTimeout(scratchTTL)
	return d.NewInode(ctx, n, fusefs.StableAttr{Mode: syscall.S_IFREG}), h, 0, 0
}

const createFlags = syscall.O_ACCMODE | syscall.O_EXCL | syscall.O_TRUNC

// Mknod makes an empty scratch file. Of other kinds there are none: EPERM.
func (d *scratchOps) Mknod(ctx context.Context, name string, mode, _ uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, syscall.EPERM
	}
	inode, h, _, errno := d.Create(ctx, name, syscall.O_RDONLY|syscall.O_EXCL, mode, out)
	if errno != 0 {
		return nil, errno
	}
	return inode, h.(*scratchHandle).Release(ctx)
}

// Mkdir makes a scratch directory.
func (d *scratchOps) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	var st *syscall.Stat_t
	err := d.t.in(d.self, name, func(path string) error {
		err := os.Mkdir(path, 0o700)
		if err == nil {
			err = os.Chmod(path, localMode(mode&^d.t.umask, 0o700))
		}
		if err == nil {
			st, err = lstat(path)
		}
		return err
	})
	if err != nil {
		return nil, d.t.fail(ctx, "mkdir", d.self, err)
	}
	return d.t.found(ctx, d.self, name, st, out)
}

// Link refuses: the bytes of a blob must not be reachable by a second name.
func (d *scratchOps) Link(context.Context, fusefs.InodeEmbedder, string, *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

// Unlink removes a scratch file.
func (d *scratchOps) Unlink(ctx context.Context, name string) syscall.Errno {
	if n, ok := d.child(name).(*file); ok {
		if _, err := n.draft.gate.wait(ctx); err != nil { // if it is being made a blob, it will be gone
			return errnoOf(ctx, err)
		}
	}
	return d.removeChild(ctx, name, syscall.Unlink)
}

// Rmdir removes an empty scratch directory.
func (d *scratchOps) Rmdir(ctx context.Context, name string) syscall.Errno {
	return d.removeChild(ctx, name, syscall.Rmdir)
}

func (d *scratchOps) child(name string) fusefs.InodeEmbedder {
	if c := d.GetChild(name); c != nil {
		return c.Operations()
	}
	return nil
}

func (d *scratchOps) removeChild(ctx context.Context, name string, remove func(string) error) syscall.Errno {
	p := placeOf(d.child(name))
	st, err := d.t.removeFrom(d.self, name, remove)
	if err == nil && p != nil {
		d.t.dropped(p, st)
	}
	return errnoOf(ctx, err)
}

// removeFrom removes scratch from local disk, and says what it was like.
func (t *tree) removeFrom(d folder, name string, remove func(string) error) (*syscall.Stat_t, error) {
	t.moves.RLock()
	defer t.moves.RUnlock()
	path := filepath.Join(d.local(), name)
	st, err := lstat(path)
	if err == nil {
		err = remove(path)
	}
	return st, err
}

// placeOf is where a node of scratch is.
func placeOf(ops fusefs.InodeEmbedder) *place {
	switch n := ops.(type) {
	case *file:
		return &n.at
	case *scratchDir:
		return &n.at
	case *symlink:
		return &n.at
	}
	return nil
}
