package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/opencontainers/go-digest"
)

// layoutDir is an image layout: the root, or the directory of a name or of what leads to names.
type layoutDir struct {
	scratchOps
	scope string
	index *listing
}

var (
	_ folder               = (*layoutDir)(nil)
	_ fusefs.NodeLookuper  = (*layoutDir)(nil)
	_ fusefs.NodeReaddirer = (*layoutDir)(nil)
	_ fusefs.NodeGetattrer = (*layoutDir)(nil)
	_ fusefs.NodeSetattrer = (*layoutDir)(nil)
)

func newLayoutDir(t *tree, scope string) *layoutDir {
	d := &layoutDir{scope: scope, index: newListing(t, scope)}
	d.scratchOps = scratchOps{dirOps: dirOps{t: t}, self: d}
	return d
}

func (d *layoutDir) what() string { return path.Join("/", d.scope) }

func (d *layoutDir) local() string { return filepath.Join(d.t.root, filepath.FromSlash(d.scope)) }

func (d *layoutDir) target(string) (digest.Digest, bool) { return "", false }

// Getattr describes the directory, which is the same however much is in it.
func (d *layoutDir) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return d.virtualAttr(out)
}

// Setattr accepts permissions and times without effect.
func (d *layoutDir) Setattr(_ context.Context, _ fusefs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.virtualAttr(out)
}

// Lookup finds what every layout has, scratch, and the directories of names.
func (d *layoutDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	switch name {
	case layoutFile:
		out.SetEntryTimeout(dirTTL)
		d.t.fill(&out.Attr, syscall.S_IFREG|0o666, int64(len(layoutContent)), d.t.born)
		return child(ctx, d, name, syscall.S_IFREG, always, func() *marker { return &marker{t: d.t} }), 0
	case indexFile:
		out.SetEntryTimeout(dirTTL) // not its length: that is asked for when it is wanted
		d.t.fill(&out.Attr, syscall.S_IFREG|0o666, 0, d.index.modified())
		return child(ctx, d, name, syscall.S_IFREG, always, func() *index { return &index{listing: d.index} }), 0
	case blobsName:
		d.t.dirEntry(out)
		return child(ctx, d, name, syscall.S_IFDIR, always, func() *blobsDir { return newBlobsDir(d) }), 0
	}
	if reserved(name) {
		return d.scratchOps.Lookup(ctx, name, out)
	}
	return d.lookupName(ctx, name, out)
}

// lookupName finds a directory that a client made or that has names, or a scratch file.
func (d *layoutDir) lookupName(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	var inode *fusefs.Inode
	var errno syscall.Errno
	err := d.t.lstatIn(d, name, func(st *syscall.Stat_t) {
		if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			inode = d.layout(ctx, name, out)
			return
		}
		inode, errno = d.t.found(ctx, d, name, st, out)
	})
	if err == nil {
		return inode, errno
	}
	if !errors.Is(err, iofs.ErrNotExist) {
		return nil, d.t.fail(ctx, "lookup", d, err)
	}
	known, err := d.isName(ctx, name)
	if err != nil {
		return nil, d.t.fail(ctx, "lookup", d, err)
	}
	if !known {
		return nil, syscall.ENOENT
	}
	return d.layout(ctx, name, out), 0
}

// layout is the layout of a name in this one.
func (d *layoutDir) layout(ctx context.Context, name string, out *fuse.EntryOut) *fusefs.Inode {
	d.t.dirEntry(out)
	out.SetEntryTimeout(d.t.refresh) // another host may delete it
	return child(ctx, d, name, syscall.S_IFDIR, always, func() *layoutDir {
		return newLayoutDir(d.t, path.Join(d.scope, name))
	})
}

// isName says whether names have that component beneath the scope.
func (d *layoutDir) isName(ctx context.Context, name string) (bool, error) {
	names, err := d.t.names.Children(ctx, d.scope)
	return slices.Contains(names, name), err
}

// Readdir lists what every layout has, scratch, and the directories of names.
func (d *layoutDir) Readdir(ctx context.Context) (fusefs.DirStream, syscall.Errno) {
	names, err := d.t.names.Children(ctx, d.scope)
	if err != nil {
		return nil, d.t.fail(ctx, "list", d, err)
	}
	list := append(dots(), fuse.DirEntry{Name: layoutFile, Mode: syscall.S_IFREG},
		fuse.DirEntry{Name: indexFile, Mode: syscall.S_IFREG}, fuse.DirEntry{Name: blobsName, Mode: syscall.S_IFDIR})
	local, err := d.t.list(d)
	if err != nil {
		return nil, d.t.fail(ctx, "list", d, err)
	}
	seen := map[string]bool{}
	for _, e := range local {
		if !fixed(e.Name) {
			seen[e.Name] = true
			list = append(list, e)
		}
	}
	for _, name := range directories(names) {
		if !seen[name] {
			list = append(list, fuse.DirEntry{Name: name, Mode: syscall.S_IFDIR})
		}
	}
	return fusefs.NewListDirStream(list), 0
}

// Mkdir makes a scratch directory, or the layout of a new name, which is empty and valid.
func (d *layoutDir) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if fixed(name) {
		return nil, syscall.EEXIST
	}
	if reserved(name) {
		return d.scratchOps.Mkdir(ctx, name, mode, out)
	}
	err := d.t.in(d, name, func(path string) error { return os.Mkdir(path, 0o700) })
	if err != nil {
		return nil, d.t.fail(ctx, "mkdir", d, err)
	}
	return d.layout(ctx, name, out), 0
}

// Rmdir removes a scratch directory, or the layout of a name that was never published and has no scratch
// left.
func (d *layoutDir) Rmdir(ctx context.Context, name string) syscall.Errno {
	if name == blobsName {
		return syscall.EPERM
	}
	if reserved(name) {
		return d.scratchOps.Rmdir(ctx, name)
	}
	known, err := d.isName(ctx, name)
	if err != nil {
		return d.t.fail(ctx, "rmdir", d, err)
	}
	if known {
		return syscall.EPERM
	}
	return d.t.fail(ctx, "rmdir", d, d.t.removeLayout(d, name))
}

// removeLayout removes the local folder of a layout, if there is no scratch in it.
func (t *tree) removeLayout(d *layoutDir, name string) error {
	t.moves.Lock()
	defer t.moves.Unlock()
	path := filepath.Join(d.local(), name)
	algs, _ := filepath.Glob(filepath.Join(path, blobsName, "*"))
	for _, dir := range append(algs, filepath.Join(path, blobsName)) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
	}
	return os.Remove(path)
}

// Unlink removes scratch. An index.json goes with its name, where deleting is allowed.
func (d *layoutDir) Unlink(ctx context.Context, name string) syscall.Errno {
	switch {
	case name == indexFile && d.scope != "":
		return d.t.fail(ctx, "delete", d.index, d.t.names.Delete(context.WithoutCancel(ctx), d.scope))
	case fixed(name):
		return syscall.EPERM
	}
	return d.scratchOps.Unlink(ctx, name)
}

// Create makes a scratch file.
func (d *layoutDir) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	if fixed(name) {
		return nil, nil, 0, syscall.EEXIST
	}
	return d.scratchOps.Create(ctx, name, flags, mode, out)
}
