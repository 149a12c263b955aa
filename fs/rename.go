package fs

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// Rename moves scratch. What a scratch file is moved to decides what happens: at the name of a blob it
// is committed, as index.json it is published, as oci-layout it is judged, and elsewhere it is scratch.
// A blob stays where it is, and so does the layout of a name: EXDEV makes mv copy.
func (d *scratchOps) Rename(ctx context.Context, name string, newParent fusefs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	dst, ok := newParent.(folder)
	if _, blobs := newParent.(*blobsDir); blobs || !ok {
		return syscall.EPERM
	}
	if flags&^unix.RENAME_NOREPLACE != 0 {
		return syscall.EINVAL
	}
	switch src := d.t.nodeAt(d.self, name).(type) {
	case *file:
		return src.rename(ctx, dst, newName)
	case *symlink:
		return d.t.moveLink(ctx, &src.at, dst, newName)
	case *scratchDir:
		return src.rename(ctx, dst, newName)
	}
	if dg, isBlob := d.self.target(name); isBlob {
		return renameBlob(dg, dst, newName)
	}
	if fixed(name) {
		return syscall.EPERM
	}
	return syscall.EXDEV // of a layout
}

func (n *file) rename(ctx context.Context, dst folder, newName string) syscall.Errno {
	p, err := n.draft.gate.wait(ctx)
	if err != nil {
		return errnoOf(ctx, err)
	}
	d, isBlobName := dst.target(newName)
	switch {
	case p == committed:
		return renameBlob(n.digestNow(), dst, newName)
	case isBlobName:
		return n.renameToBlob(ctx, dst, newName, d)
	}
	if layout, ok := dst.(*layoutDir); ok && fixed(newName) {
		return n.renameToFixed(ctx, layout, newName)
	}
	return n.t.fail(ctx, "rename", n, n.t.move(&n.at, dst, newName))
}

// renameBlob lets a blob be moved to another layout, which shows it already.
func renameBlob(d digest.Digest, dst folder, newName string) syscall.Errno {
	target, isBlobName := dst.target(newName)
	switch {
	case target == d:
		return 0
	case isBlobName:
		return syscall.EPERM
	}
	return syscall.EXDEV
}

// renameToBlob commits the file. What someone else is writing at that name meanwhile is dropped.
func (n *file) renameToBlob(ctx context.Context, dst folder, newName string, d digest.Digest) syscall.Errno {
	n.t.noteWriter(dst, d)
	if err := n.commit(ctx, d); err != nil {
		return n.t.fail(ctx, "rename", n, err)
	}
	n.t.moves.Lock()
	defer n.t.moves.Unlock()
	if old, ok := n.t.homes.of(dst, newName).(*file); ok && old.draft.gate.now() == open {
		n.t.remove(&old.at)
	}
	n.at.in, n.at.name = dst, newName
	return 0
}

func (n *file) renameToFixed(ctx context.Context, dst *layoutDir, newName string) syscall.Errno {
	if newName == blobsName {
		return syscall.EEXIST
	}
	b, err := n.read()
	if err != nil {
		return n.t.fail(ctx, "rename", n, err)
	}
	if newName == layoutFile {
		err = checkLayout(b)
	} else {
		err = dst.index.replace(ctx, b)
	}
	if err == nil {
		dst.begun.wrote("")
		err = dst.makeFixed(ctx, newName)
	}
	if err != nil {
		return n.t.fail(ctx, "rename", dst.index, err)
	}
	n.t.moves.Lock()
	defer n.t.moves.Unlock()
	n.t.remove(&n.at)
	return 0
}

// read returns the content of a small scratch file.
func (n *file) read() (b []byte, err error) {
	err = n.t.at(&n.at, func(path string) error {
		return onFile(path, os.O_RDONLY, func(f *os.File) error {
			b, err = io.ReadAll(io.LimitReader(f, maxDocument+1))
			return err
		})
	})
	if err == nil && len(b) > maxDocument {
		err = fmt.Errorf("more than %d bytes: %w", maxDocument, syscall.EFBIG)
	}
	return b, err
}

// rename moves a scratch directory to where it is still one.
func (d *scratchDir) rename(ctx context.Context, dst folder, newName string) syscall.Errno {
	switch dst.(type) {
	case *scratchDir:
	case *layoutDir:
		if !reserved(newName) {
			return syscall.EXDEV
		}
	default:
		return syscall.EPERM
	}
	return d.t.fail(ctx, "rename", d, d.t.move(&d.at, dst, newName))
}

// moveLink moves a symbolic link to where it may be.
func (t *tree) moveLink(ctx context.Context, p *place, dst folder, newName string) syscall.Errno {
	_, isBlobName := dst.target(newName)
	if _, ok := dst.(*layoutDir); isBlobName || ok && !reserved(newName) {
		return syscall.EPERM
	}
	return errnoOf(ctx, t.move(p, dst, newName))
}

// move moves scratch on local disk, and notes where it and what it replaced are now.
func (t *tree) move(p *place, dst folder, newName string) error {
	t.moves.Lock()
	defer t.moves.Unlock()
	from, err := p.path()
	if err != nil {
		return err
	}
	if err := makeFolder(dst); err != nil {
		return err
	}
	to := filepath.Join(dst.local(), newName)
	old := placeOf(t.homes.of(dst, newName))
	st, statErr := lstat(to)
	if err := unix.Rename(from, to); err != nil { // os.Rename would not replace an empty directory
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	if statErr == nil && old != nil && old != p {
		old.drop(t, st)
	}
	t.homes.move(p, dst, newName)
	return nil
}
