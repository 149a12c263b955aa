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

// layoutDir is an image layout: the root, or the directory of a name or of what leads to names.
type layoutDir struct {
	scratchOps
	scope string
	index *listing
	begun begun
}

var (
	_ folder               = (*layoutDir)(nil)
	_ fusefs.NodeLookuper  = (*layoutDir)(nil)
	_ fusefs.NodeReaddirer = (*layoutDir)(nil)
	_ fusefs.NodeGetattrer = (*layoutDir)(nil)
	_ fusefs.NodeSetattrer = (*layoutDir)(nil)
)

func newLayoutDir(t *tree, scope string) *layoutDir {
	d := &layoutDir{scope: scope}
	d.index = newListing(t, scope, &d.Inode)
	d.scratchOps = scratchOps{dirOps: dirOps{t: t}, self: d}
	return d
}

func (d *layoutDir) what() string { return path.Join("/", d.scope) }

func (d *layoutDir) local() string { return filepath.Join(d.t.root, filepath.FromSlash(d.scope)) }

func (d *layoutDir) inLayout() *layoutDir { return d }

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
	d.used()
	if fixed(name) {
		return d.lookupFixed(ctx, name, out)
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
	known, err := d.t.names.Exists(ctx, path.Join(d.scope, name))
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
	d.layoutEntry(out)
	inode := child(ctx, d, name, syscall.S_IFDIR, func() *layoutDir {
		return newLayoutDir(d.t, path.Join(d.scope, name))
	})
	d.t.layoutNodes.add(inode)
	return inode
}

// begin is the layout of a name that a client makes in this one. Its node stays, whatever the kernel forgets,
// until the bucket has the name: nobody else knows what is in it.
func (d *layoutDir) begin(ctx context.Context, name string, out *fuse.EntryOut) *fusefs.Inode {
	d.layoutEntry(out)
	n := newLayoutDir(d.t, path.Join(d.scope, name))
	n.begun.begin()
	return d.NewPersistentInode(ctx, n, fusefs.StableAttr{Mode: syscall.S_IFDIR})
}

func (d *layoutDir) layoutEntry(out *fuse.EntryOut) {
	d.t.dirEntry(out)
	out.SetEntryTimeout(d.t.refresh) // another host may delete it
}

// Readdir lists what a layout has, scratch, and the directories of names.
func (d *layoutDir) Readdir(ctx context.Context) (fusefs.DirStream, syscall.Errno) {
	names, err := d.t.names.Children(ctx, d.scope)
	if err != nil {
		return nil, d.t.fail(ctx, "list", d, err)
	}
	whole, err := d.isWhole(ctx)
	if err != nil {
		return nil, d.t.fail(ctx, "list", d, err)
	}
	local, err := d.t.list(d)
	if err != nil {
		return nil, d.t.fail(ctx, "list", d, err)
	}
	list, seen := dots(), map[string]bool{}
	add := func(e fuse.DirEntry) {
		if !seen[e.Name] {
			seen[e.Name] = true
			list = append(list, e)
		}
	}
	if whole {
		add(fuse.DirEntry{Name: layoutFile, Mode: syscall.S_IFREG})
		add(fuse.DirEntry{Name: indexFile, Mode: syscall.S_IFREG})
		add(fuse.DirEntry{Name: blobsName, Mode: syscall.S_IFDIR})
	}
	for _, e := range local {
		add(e)
	}
	for _, name := range directories(names) {
		add(fuse.DirEntry{Name: name, Mode: syscall.S_IFDIR})
	}
	return fusefs.NewListDirStream(list), 0
}

// Mkdir makes a scratch directory, the blobs/ of a layout, or the directory of a new name, which is empty.
func (d *layoutDir) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if fixed(name) {
		return d.mkdirFixed(ctx, name, out)
	}
	if reserved(name) {
		return d.scratchOps.Mkdir(ctx, name, mode, out)
	}
	err := d.t.in(d, name, func(path string) error { return os.Mkdir(path, 0o700) })
	if err != nil {
		return nil, d.t.fail(ctx, "mkdir", d, err)
	}
	return d.begin(ctx, name, out), 0
}

// Rmdir removes a scratch directory, or the layout of a name that was never published and has no scratch
// left.
func (d *layoutDir) Rmdir(ctx context.Context, name string) syscall.Errno {
	if reserved(name) {
		return d.scratchOps.Rmdir(ctx, name)
	}
	kept, err := d.keeps(ctx, name)
	if err != nil {
		return d.t.fail(ctx, "rmdir", d, err)
	}
	if kept {
		return syscall.EPERM
	}
	err = d.t.removeFolder(d, name)
	if gone := d.GetChild(name); gone != nil && err == nil {
		gone.ForgetPersistent()
	}
	return d.t.fail(ctx, "rmdir", d, err)
}

// keeps says whether the bucket has what a directory stands for.
func (d *layoutDir) keeps(ctx context.Context, name string) (bool, error) {
	if name == blobsName {
		return d.isKept(ctx)
	}
	return d.t.names.Exists(ctx, path.Join(d.scope, name))
}

// removeFolder removes the empty local folder of a layout or of its blobs.
func (t *tree) removeFolder(d folder, name string) error {
	t.moves.Lock()
	defer t.moves.Unlock()
	return syscall.Rmdir(filepath.Join(d.local(), name))
}

// Unlink removes scratch. An index.json goes with its name, where deleting is allowed.
func (d *layoutDir) Unlink(ctx context.Context, name string) syscall.Errno {
	if fixed(name) {
		return d.removeFixed(ctx, name)
	}
	return d.scratchOps.Unlink(ctx, name)
}

// Create makes a scratch file, or begins a layout by its index.json or oci-layout.
func (d *layoutDir) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	if fixed(name) {
		return d.createFixed(ctx, name, flags, out)
	}
	return d.scratchOps.Create(ctx, name, flags, mode, out)
}

// Mknod makes an empty scratch file.
func (d *layoutDir) Mknod(ctx context.Context, name string, mode, dev uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if fixed(name) {
		return nil, syscall.EPERM
	}
	return d.scratchOps.Mknod(ctx, name, mode, dev, out)
}

// Symlink refuses the names that a layout has or may get: on local disk, the link would lead who has the
// directory of a name open to where only this daemon may write.
func (d *layoutDir) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if !reserved(name) {
		return nil, syscall.EPERM
	}
	return d.scratchOps.Symlink(ctx, target, name, out)
}
