package fs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layoutContent is every oci-layout file.
const layoutContent = `{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`

// checkLayout accepts what may be written to oci-layout, which changes nothing.
func checkLayout(b []byte) error {
	var l ocispec.ImageLayout
	if err := json.Unmarshal(b, &l); err != nil {
		return errors.Join(fmt.Errorf("oci-layout: %w", err), syscall.EINVAL)
	}
	if l.Version != ocispec.ImageLayoutVersion {
		return fmt.Errorf("oci-layout: version %q is not %s: %w", l.Version, ocispec.ImageLayoutVersion, syscall.EINVAL)
	}
	return nil
}

// marker is the node of an oci-layout file.
type marker struct {
	fusefs.Inode
	t *tree
}

var (
	_ fusefs.NodeGetattrer = (*marker)(nil)
	_ fusefs.NodeSetattrer = (*marker)(nil)
	_ fusefs.NodeOpener    = (*marker)(nil)
	_ fusefs.NodeStatfser  = (*marker)(nil)
)

// Getattr describes the file, which never changes.
func (n *marker) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.t.fill(&out.Attr, syscall.S_IFREG|0o666, int64(len(layoutContent)), n.t.born)
	return 0
}

// Setattr truncates what a handle writes, and has no other effect.
func (n *marker) Setattr(ctx context.Context, f fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if w, ok := f.(*markerWriter); ok {
			if errno := w.truncate(int64(size)); errno != 0 {
				return errno
			}
		} else if size != uint64(len(layoutContent)) {
			return syscall.EPERM
		}
	}
	return n.Getattr(ctx, f, out)
}

// Open opens the file. What is written is only judged.
func (n *marker) Open(_ context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	if cutsUnwritten(flags) {
		return nil, 0, syscall.EPERM
	}
	if writing(flags) {
		w := &markerWriter{text: text{bytes: []byte(layoutContent), owned: true}}
		if flags&syscall.O_TRUNC != 0 {
			w.text = text{owned: true}
		}
		return w, fuse.FOPEN_DIRECT_IO, 0
	}
	return &snapshot{[]byte(layoutContent)}, fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH, 0
}

// Statfs tells of the file system that scratch is on.
func (n *marker) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	return n.t.statfs(out)
}

// markerWriter is an oci-layout open for writing.
type markerWriter struct {
	mu      sync.Mutex // guards following
	text    text
	written bool
}

var (
	_ fusefs.FileReader  = (*markerWriter)(nil)
	_ fusefs.FileWriter  = (*markerWriter)(nil)
	_ fusefs.FileFlusher = (*markerWriter)(nil)
	_ fusefs.FileFsyncer = (*markerWriter)(nil)
)

// Read reads what was written.
func (w *markerWriter) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return readText(w.text.bytes, dest, off)
}

// Write writes, in memory.
func (w *markerWriter) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errno := w.text.writeAt(data, off); errno != 0 {
		return 0, errno
	}
	w.written = true
	return uint32(len(data)), 0
}

func (w *markerWriter) truncate(size int64) syscall.Errno {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.truncate(size)
}

// Flush is close(2): what was written must be a layout of the version that this is one of.
func (w *markerWriter) Flush(ctx context.Context) syscall.Errno {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.written {
		return 0
	}
	return errnoOf(ctx, checkLayout(w.text.bytes))
}

// Fsync has nothing to do.
func (w *markerWriter) Fsync(context.Context, uint32) syscall.Errno { return 0 }
