package fs

import (
	"context"
	"os"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// symlink is a symbolic link among scratch.
type symlink struct {
	fusefs.Inode
	t  *tree
	at place // guarded by t.moves
}

var (
	_ fusefs.NodeReadlinker = (*symlink)(nil)
	_ fusefs.NodeGetattrer  = (*symlink)(nil)
	_ fusefs.NodeSetattrer  = (*symlink)(nil)
)

func newSymlink(t *tree, in folder, name string) *symlink {
	return &symlink{t: t, at: place{in: in, name: name}}
}

func (n *symlink) what() string { return n.Path(nil) }

// Symlink makes a symbolic link.
func (d *scratchOps) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	err := d.t.in(d.self, name, func(path string) error { return os.Symlink(target, path) })
	if err != nil {
		return nil, d.t.fail(ctx, "symlink", d.self, err)
	}
	return d.Lookup(ctx, name, out)
}

// Readlink returns the target.
func (n *symlink) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	var target string
	err := n.t.at(&n.at, func(path string) (err error) {
		target, err = os.Readlink(path)
		return err
	})
	return []byte(target), n.t.fail(ctx, "readlink", n, err)
}

// Getattr describes the link itself.
func (n *symlink) Getattr(ctx context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return n.t.fail(ctx, "stat", n, n.t.stat(&n.at, &out.Attr))
}

// Setattr sets the times of the link itself; it has no permissions.
func (n *symlink) Setattr(ctx context.Context, f fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if given := timesOf(in); given.given() {
		err := n.t.at(&n.at, func(path string) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, path, given.timespecs(), unix.AT_SYMLINK_NOFOLLOW)
		})
		if err != nil {
			return n.t.fail(ctx, "change", n, err)
		}
	}
	return n.Getattr(ctx, f, out)
}
