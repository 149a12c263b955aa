package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/opencontainers/go-digest"
)

// blobsDir is the blobs/ of a layout: one directory for each algorithm, and nothing else. That of sha256
// is always there if the layout is whole.
type blobsDir struct {
	dirOps
	layout *layoutDir
}

var (
	_ folder               = (*blobsDir)(nil)
	_ fusefs.NodeLookuper  = (*blobsDir)(nil)
	_ fusefs.NodeReaddirer = (*blobsDir)(nil)
	_ fusefs.NodeGetattrer = (*blobsDir)(nil)
	_ fusefs.NodeSetattrer = (*blobsDir)(nil)
	_ fusefs.NodeMkdirer   = (*blobsDir)(nil)
	_ fusefs.NodeRmdirer   = (*blobsDir)(nil)
	_ fusefs.NodeCreater   = (*blobsDir)(nil)
	_ fusefs.NodeUnlinker  = (*blobsDir)(nil)
	_ fusefs.NodeRenamer   = (*blobsDir)(nil)
)

func newBlobsDir(l *layoutDir) *blobsDir {
	return &blobsDir{dirOps: dirOps{t: l.t}, layout: l}
}

func (d *blobsDir) what() string { return path.Join(d.layout.what(), blobsName) }

func (d *blobsDir) local() string { return filepath.Join(d.layout.local(), blobsName) }

func (d *blobsDir) inLayout() *layoutDir { return d.layout }

func (d *blobsDir) target(string) (digest.Digest, bool) { return "", false }

// Getattr describes the directory, which is the same however much is in it.
func (d *blobsDir) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return d.virtualAttr(out)
}

// Setattr accepts permissions and times without effect.
func (d *blobsDir) Setattr(_ context.Context, _ fusefs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.virtualAttr(out)
}

// Lookup finds the directory of an algorithm.
func (d *blobsDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if !algorithm(name) {
		return nil, syscall.ENOENT
	}
	there, err := d.has(ctx, name)
	if err != nil {
		return nil, d.t.fail(ctx, "lookup", d, err)
	}
	if !there {
		return nil, syscall.ENOENT
	}
	return d.algorithm(ctx, name, out), 0
}

// has says whether there is a directory of an algorithm.
func (d *blobsDir) has(ctx context.Context, name string) (bool, error) {
	err := d.t.lstatIn(d, name, func(*syscall.Stat_t) {})
	if err == nil || !errors.Is(err, iofs.ErrNotExist) {
		return err == nil, err
	}
	if name != digest.SHA256.String() {
		return false, nil
	}
	return d.layout.isWhole(ctx)
}

func (d *blobsDir) algorithm(ctx context.Context, name string, out *fuse.EntryOut) *fusefs.Inode {
	d.t.dirEntry(out)
	return child(ctx, d, name, syscall.S_IFDIR, func() *algorithmDir {
		return newAlgorithmDir(d, digest.Algorithm(name))
	})
}

// Readdir lists the algorithms.
func (d *blobsDir) Readdir(ctx context.Context) (fusefs.DirStream, syscall.Errno) {
	sha256 := fuse.DirEntry{Name: digest.SHA256.String(), Mode: syscall.S_IFDIR}
	there, err := d.has(ctx, sha256.Name)
	if err != nil {
		return nil, d.t.fail(ctx, "list", d, err)
	}
	list := dots()
	if there {
		list = append(list, sha256)
	}
	local, err := d.t.list(d)
	if err != nil {
		return nil, d.t.fail(ctx, "list", d, err)
	}
	for _, e := range local {
		if algorithm(e.Name) && e.Name != sha256.Name {
			list = append(list, e)
		}
	}
	return fusefs.NewListDirStream(list), 0
}

// Mkdir makes the directory of an algorithm; what is none is EPERM.
func (d *blobsDir) Mkdir(ctx context.Context, name string, _ uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if !algorithm(name) {
		return nil, syscall.EPERM
	}
	there, err := d.has(ctx, name)
	if there {
		return nil, syscall.EEXIST
	}
	if err == nil {
		err = d.t.in(d, name, func(path string) error { return os.Mkdir(path, 0o700) })
	}
	if err != nil {
		return nil, d.t.fail(ctx, "mkdir", d, err)
	}
	return d.algorithm(ctx, name, out), 0
}

// Rmdir removes a directory that has no scratch, unless the bucket has the layout.
func (d *blobsDir) Rmdir(ctx context.Context, name string) syscall.Errno {
	kept, err := d.layout.isKept(ctx)
	if kept {
		return syscall.EPERM
	}
	if err == nil {
		err = d.t.removeFolder(d, name)
	}
	return d.t.fail(ctx, "rmdir", d, err)
}

// Unlink refuses: there are no files here.
func (d *blobsDir) Unlink(context.Context, string) syscall.Errno { return syscall.EPERM }

// Rename refuses: the directories stay where they are.
func (d *blobsDir) Rename(context.Context, string, fusefs.InodeEmbedder, string, uint32) syscall.Errno {
	return syscall.EPERM
}

// Create refuses: there are no files here.
func (d *blobsDir) Create(context.Context, string, uint32, uint32, *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.EPERM
}
