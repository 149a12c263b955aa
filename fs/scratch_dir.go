package fs

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// scratchDir is a directory on local disk.
type scratchDir struct {
	scratchOps
	at place // guarded by t.moves
}

var (
	_ folder               = (*scratchDir)(nil)
	_ fusefs.NodeReaddirer = (*scratchDir)(nil)
	_ fusefs.NodeGetattrer = (*scratchDir)(nil)
	_ fusefs.NodeSetattrer = (*scratchDir)(nil)
)

func newScratchDir(t *tree, in folder, name string) *scratchDir {
	d := &scratchDir{at: place{in: in, name: name}}
	d.scratchOps = scratchOps{dirOps: dirOps{t: t}, self: d}
	return d
}

func (d *scratchDir) what() string { return d.Path(nil) }

func (d *scratchDir) local() string { return filepath.Join(d.at.in.local(), d.at.name) }

func (d *scratchDir) inLayout() *layoutDir { return d.at.in.inLayout() }

func (d *scratchDir) target(string) (digest.Digest, bool) { return "", false }

// Getattr describes the directory as it is on local disk.
func (d *scratchDir) Getattr(ctx context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.SetTimeout(scratchTTL)
	return d.t.fail(ctx, "stat", d, d.t.stat(&d.at, &out.Attr))
}

// Setattr applies permissions and times.
func (d *scratchDir) Setattr(ctx context.Context, f fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	err := d.t.at(&d.at, func(path string) error {
		return onFile(path, os.O_RDONLY|unix.O_DIRECTORY, func(f *os.File) error { return setMeta(f, in, 0o700) })
	})
	if err != nil {
		return d.t.fail(ctx, "change", d, err)
	}
	return d.Getattr(ctx, f, out)
}

// Readdir lists the directory as it is on local disk.
func (d *scratchDir) Readdir(ctx context.Context) (fusefs.DirStream, syscall.Errno) {
	list, err := d.t.list(d)
	if err != nil {
		return nil, d.t.fail(ctx, "list", d, err)
	}
	return fusefs.NewListDirStream(append(dots(), list...)), 0
}
