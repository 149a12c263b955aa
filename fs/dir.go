package fs

import (
	"context"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// dirOps is what all directories have in common.
type dirOps struct {
	fusefs.Inode
	t *tree
}

var (
	_ fusefs.NodeFsyncer  = (*dirOps)(nil)
	_ fusefs.NodeStatfser = (*dirOps)(nil)
)

// Fsync has nothing to do: a blob is durable when its commit returns, and scratch need not last.
func (d *dirOps) Fsync(context.Context, fusefs.FileHandle, uint32) syscall.Errno { return 0 }

// Statfs tells of the file system that scratch is on.
func (d *dirOps) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	return d.t.statfs(out)
}

func (d *dirOps) virtualAttr(out *fuse.AttrOut) syscall.Errno {
	out.SetTimeout(dirTTL)
	d.t.fillDir(&out.Attr)
	return 0
}

// dirEntry answers the lookup of a directory that exists only in the mount.
func (t *tree) dirEntry(out *fuse.EntryOut) {
	out.SetEntryTimeout(dirTTL)
	out.SetAttrTimeout(dirTTL)
	t.fillDir(&out.Attr)
}
