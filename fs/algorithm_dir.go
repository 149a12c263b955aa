package fs

import (
	"context"
	"path"
	"path/filepath"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/opencontainers/go-digest"
)

// algorithmDir is a blobs/ALG: the blobs, and the temporary files of clients that write beside them.
type algorithmDir struct {
	scratchOps
	blobs *blobsDir
	alg   digest.Algorithm
}

var (
	_ folder               = (*algorithmDir)(nil)
	_ fusefs.NodeLookuper  = (*algorithmDir)(nil)
	_ fusefs.NodeReaddirer = (*algorithmDir)(nil)
	_ fusefs.NodeGetattrer = (*algorithmDir)(nil)
	_ fusefs.NodeSetattrer = (*algorithmDir)(nil)
)

func newAlgorithmDir(b *blobsDir, alg digest.Algorithm) *algorithmDir {
	d := &algorithmDir{blobs: b, alg: alg}
	d.scratchOps = scratchOps{dirOps: dirOps{t: b.t}, self: d}
	return d
}

func (d *algorithmDir) what() string { return path.Join(d.blobs.what(), d.alg.String()) }

func (d *algorithmDir) local() string { return filepath.Join(d.blobs.local(), d.alg.String()) }

func (d *algorithmDir) inLayout() *layoutDir { return d.blobs.layout }

func (d *algorithmDir) target(name string) (digest.Digest, bool) { return blobName(d.alg, name) }

// Getattr describes the directory, which is the same however much is in it.
func (d *algorithmDir) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return d.virtualAttr(out)
}

// Setattr accepts permissions and times without effect.
func (d *algorithmDir) Setattr(_ context.Context, _ fusefs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.virtualAttr(out)
}

// Lookup finds what is being written, and blobs.
func (d *algorithmDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	d.blobs.layout.used()
	inode, errno := d.scratchOps.Lookup(ctx, name, out)
	dg, ok := d.target(name)
	if errno != syscall.ENOENT || !ok {
		return inode, errno
	}
	size, err := d.t.blobs.Stat(ctx, dg)
	if err != nil {
		return nil, d.t.fail(ctx, "lookup", d, err)
	}
	if !d.shows(ctx, dg) {
		return nil, syscall.ENOENT
	}
	n := d.blob(ctx, dg, size)
	d.t.blobNodes.add(&n.Inode)
	out.SetAttrTimeout(blobTTL)
	out.SetEntryTimeout(nameTTL)
	n.fillBlob(&out.Attr)
	return n.EmbeddedInode(), 0
}

// blob returns the node of a blob: the one that is known, unless a writer needs one of his own.
func (d *algorithmDir) blob(ctx context.Context, dg digest.Digest, size int64) *file {
	name := dg.Encoded()
	second := d.t.turns.isSecond(ctx, dg)
	if known := d.GetChild(name); known != nil && !second {
		if n, ok := known.Operations().(*file); ok && n.shows(dg) {
			return n
		}
	}
	n := newBlob(d.t, d, dg, size, second)
	d.NewInode(ctx, n, d.t.inos.of(d, name, syscall.S_IFREG))
	return n
}

// Mkdir refuses: this is for blobs and files that become such.
func (d *algorithmDir) Mkdir(context.Context, string, uint32, *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

// Symlink refuses the name of a blob.
func (d *algorithmDir) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if _, ok := d.target(name); ok {
		return nil, syscall.EPERM
	}
	return d.scratchOps.Symlink(ctx, target, name, out)
}

// Unlink removes what is being written, or forgets a blob.
func (d *algorithmDir) Unlink(ctx context.Context, name string) syscall.Errno {
	errno := d.scratchOps.Unlink(ctx, name)
	dg, ok := d.target(name)
	if errno != syscall.ENOENT || !ok {
		return errno
	}
	return d.forget(ctx, dg)
}

// Readdir lists what is being written, and streams the blobs.
func (d *algorithmDir) Readdir(ctx context.Context) (fusefs.DirStream, syscall.Errno) {
	local, err := d.t.list(d)
	if err != nil {
		return nil, d.t.fail(ctx, "list", d, err)
	}
	return newBlobStream(d, append(dots(), local...)), 0
}
