package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/opencontainers/go-digest"
)

// folder is a directory of the mount that may have scratch in it.
type folder interface {
	fusefs.InodeEmbedder
	named
	// local is where its scratch is on local disk; tree.moves is held. It may not exist yet.
	local() string
	// inLayout is the layout that it is, or is in; tree.moves is held.
	inLayout() *layoutDir
	// target is the digest that a file of that name must have, if it must have one.
	target(name string) (digest.Digest, bool)
}

// place is where a scratch file or directory is. It is guarded by tree.moves.
type place struct {
	in   folder
	name string
	gone *fuse.Attr // what it was like when it was removed
}

// errGone is what is said of a place whose file was removed.
var errGone = &iofs.PathError{Op: "find", Path: "a removed file", Err: syscall.ENOENT}

// path on local disk. Call it with tree.moves held.
func (p *place) path() (string, error) {
	if p.gone != nil {
		return "", errGone
	}
	return filepath.Join(p.in.local(), p.name), nil
}

// at calls f with the path of p, which stays right until f returns.
func (t *tree) at(p *place, f func(path string) error) error {
	t.moves.RLock()
	defer t.moves.RUnlock()
	path, err := p.path()
	if err != nil {
		return err
	}
	return f(path)
}

// in calls f with the path of a name in a folder, which stays right until f returns. A folder that is
// not on local disk yet is created when f finds it missing.
func (t *tree) in(d folder, name string, f func(path string) error) error {
	t.moves.RLock()
	defer t.moves.RUnlock()
	path := filepath.Join(d.local(), name)
	err := f(path)
	if !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	if err := makeFolder(d); err != nil {
		return err
	}
	return f(path)
}

// makeFolder creates the local folder of a directory that the mount shows without having it on disk.
// That of scratch was there or was removed, and stays so.
func makeFolder(d folder) error {
	if _, ok := d.(*scratchDir); ok {
		return nil
	}
	return os.MkdirAll(d.local(), 0o700)
}

// drop notes that what was at p is removed; st is what it was like. t.moves is held exclusively.
func (p *place) drop(t *tree, st *syscall.Stat_t) {
	t.homes.leave(p)
	p.gone = &fuse.Attr{}
	t.fillStat(p.gone, st)
	p.gone.Nlink = 0
}

// stat describes what is at p, or was when it was removed.
func (t *tree) stat(p *place, a *fuse.Attr) error {
	t.moves.RLock()
	defer t.moves.RUnlock()
	if p.gone != nil {
		*a = *p.gone
		return nil
	}
	path, _ := p.path()
	st, err := lstat(path)
	if err == nil {
		t.fillStat(a, st)
	}
	return err
}

func lstat(path string) (*syscall.Stat_t, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return nil, &iofs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return &st, nil
}

// localMode is the permissions of scratch on local disk: those that the client wants, but a daemon
// that is not root must be able to use its own files.
func localMode(mode, atLeast uint32) iofs.FileMode {
	if os.Geteuid() != 0 {
		mode |= atLeast
	}
	return iofs.FileMode(mode & 0o777)
}

// child returns the node of a name in a directory: the one that is known, if it is still of that kind, else a new one.
func child[T fusefs.InodeEmbedder](ctx context.Context, in fusefs.InodeEmbedder, name string, mode uint32, create func() T) *fusefs.Inode {
	parent := in.EmbeddedInode()
	if known := parent.GetChild(name); known != nil {
		if _, ok := known.Operations().(T); ok {
			return known
		}
	}
	return parent.NewInode(ctx, create(), fusefs.StableAttr{Mode: mode & syscall.S_IFMT})
}
