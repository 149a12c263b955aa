package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A layout that the bucket has is whole: index.json, oci-layout and blobs/sha256 are there. A directory that a
// client makes has of these what clients make in it, as a folder elsewhere: cp -r, tar, mv and umoci fail on
// what is there before them, be it what comes after the index.json that they publish. What they made stands
// in the scratch on local disk, by its name.

// isWhole says whether all entries of a layout are there.
func (d *layoutDir) isWhole(ctx context.Context) (bool, error) {
	if d.isMine() {
		return false, nil
	}
	kept, err := d.isKept(ctx)
	if kept {
		d.begun.join()
	}
	return kept, err
}

// isMine says whether a client made the directory and published there, before any other host did.
func (d *layoutDir) isMine() bool { return d.begun.isAlone() && d.index.isPublished() }

// isKept says whether the bucket has names in the layout or beneath it. The root is always kept.
func (d *layoutDir) isKept(ctx context.Context) (bool, error) {
	if d.scope == "" {
		return true, nil
	}
	return d.t.names.Exists(ctx, d.scope)
}

// has says whether the directory has one of the entries of every layout.
func (d *layoutDir) has(ctx context.Context, name string) (bool, error) {
	err := d.t.lstatIn(d, name, func(*syscall.Stat_t) {})
	if err == nil || !errors.Is(err, iofs.ErrNotExist) {
		return err == nil, err
	}
	return d.isWhole(ctx)
}

// makeFixed makes index.json or oci-layout, if the directory has none.
func (d *layoutDir) makeFixed(ctx context.Context, name string) error {
	if there, err := d.has(ctx, name); there || err != nil {
		return err
	}
	return d.t.in(d, name, func(path string) error {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	})
}

// lookupFixed finds an entry of every layout.
func (d *layoutDir) lookupFixed(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	there, err := d.has(ctx, name)
	if err != nil {
		return nil, d.t.fail(ctx, "lookup", d, err)
	}
	if !there {
		return nil, syscall.ENOENT
	}
	return d.fixedNode(ctx, name, out), 0
}

// fixedNode is the node of an entry of every layout.
func (d *layoutDir) fixedNode(ctx context.Context, name string, out *fuse.EntryOut) *fusefs.Inode {
	switch name {
	case layoutFile:
		out.SetEntryTimeout(dirTTL)
		d.t.fill(&out.Attr, syscall.S_IFREG|0o666, int64(len(layoutContent)), d.t.born)
		return child(ctx, d, name, syscall.S_IFREG, func() *marker { return &marker{t: d.t} })
	case indexFile:
		out.SetEntryTimeout(dirTTL) // not its length: that is asked for when it is wanted
		d.t.fill(&out.Attr, syscall.S_IFREG|0o666, 0, d.index.modified())
		return child(ctx, d, name, syscall.S_IFREG, func() *index { return &index{listing: d.index} })
	}
	d.t.dirEntry(out)
	return child(ctx, d, name, syscall.S_IFDIR, func() *blobsDir { return newBlobsDir(d) })
}

// mkdirFixed makes blobs/ where the directory has none.
func (d *layoutDir) mkdirFixed(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	there, err := d.has(ctx, name)
	switch {
	case err == nil && there:
		return nil, syscall.EEXIST
	case err == nil && name != blobsName:
		return nil, syscall.EPERM
	case err == nil:
		err = d.t.in(d, name, func(path string) error { return os.Mkdir(path, 0o700) })
	}
	if err != nil {
		return nil, d.t.fail(ctx, "mkdir", d, err)
	}
	return d.fixedNode(ctx, name, out), 0
}

// createFixed makes and opens index.json or oci-layout where the directory has none.
func (d *layoutDir) createFixed(ctx context.Context, name string, flags uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	there, err := d.has(ctx, name)
	switch {
	case err == nil && there && flags&syscall.O_EXCL != 0:
		return nil, nil, 0, syscall.EEXIST
	case err == nil && name == blobsName:
		return nil, nil, 0, syscall.EISDIR
	case err == nil:
		err = d.makeFixed(ctx, name)
	}
	if err != nil {
		return nil, nil, 0, d.t.fail(ctx, "create", d, err)
	}
	d.begun.wrote("")
	inode := d.fixedNode(ctx, name, out)
	if writing(flags) && !there {
		flags |= syscall.O_TRUNC // it begins empty
	}
	h, fuseFlags, errno := inode.Operations().(fusefs.NodeOpener).Open(ctx, flags)
	return inode, h, fuseFlags, errno
}

// removeFixed removes index.json or oci-layout. That of a layout which the bucket has goes with its name, if at
// all.
func (d *layoutDir) removeFixed(ctx context.Context, name string) syscall.Errno {
	kept, err := d.isKept(ctx)
	switch {
	case err != nil:
	case kept && (d.scope == "" || name != indexFile):
		return syscall.EPERM
	case kept:
		if err = d.t.names.Delete(context.WithoutCancel(ctx), d.scope); err == nil {
			d.begun.end()
		}
	}
	if err == nil {
		err = d.t.in(d, name, os.Remove)
	}
	return d.t.fail(ctx, "delete", d, ignoreMissing(err)) // it may have been there with the name alone
}
