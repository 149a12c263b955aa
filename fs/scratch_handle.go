package fs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// scratchHandle is a scratch file open for reading, writing or both. It stays readable when the file
// is made a blob.
type scratchHandle struct {
	n      *file
	f      *os.File
	writes bool
	end    func() // of its turn with the file
}

var (
	_ fusefs.FileReader    = (*scratchHandle)(nil)
	_ fusefs.FileWriter    = (*scratchHandle)(nil)
	_ fusefs.FileFlusher   = (*scratchHandle)(nil)
	_ fusefs.FileFsyncer   = (*scratchHandle)(nil)
	_ fusefs.FileLseeker   = (*scratchHandle)(nil)
	_ fusefs.FileAllocater = (*scratchHandle)(nil)
	_ fusefs.FileReleaser  = (*scratchHandle)(nil)
)

func newScratchHandle(n *file, f *os.File, flags uint32, end func()) *scratchHandle {
	h := &scratchHandle{n: n, f: f, writes: writing(flags), end: end}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.modes.others++
	if h.writes {
		if n.writers == 0 {
			n.left = make(chan struct{})
		}
		n.writers++
	}
	return h
}

// writing says whether an open with those flags asks for writing.
func writing(flags uint32) bool { return flags&syscall.O_ACCMODE != syscall.O_RDONLY }

// cutsUnwritten says whether an open that does not ask for writing asks for truncation.
func cutsUnwritten(flags uint32) bool { return !writing(flags) && flags&syscall.O_TRUNC != 0 }

func (h *scratchHandle) fill(a *fuse.Attr) syscall.Errno {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(h.f.Fd()), &st); err != nil {
		return h.n.t.fail(context.Background(), "stat", h.n, err)
	}
	h.n.t.fillStat(a, &st)
	return 0
}

// Read lets the kernel take the bytes from the local file.
func (h *scratchHandle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultFd(h.f.Fd(), off, len(dest)), 0
}

// Write writes. Once the file has become a blob it changes no more: other bytes are EPERM, and the same are
// what a second writer writes that shares the ingest folder with the one who was ready first.
func (h *scratchHandle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	inside, err := h.n.draft.gate.enter(ctx)
	if err != nil {
		return 0, errnoOf(ctx, err)
	}
	if !inside {
		if h.n.has(ctx, data, off) {
			return uint32(len(data)), 0
		}
		h.n.supersede() // the kernel may have the refused bytes in pages of the node
		return 0, syscall.EPERM
	}
	defer h.n.draft.gate.leave()
	if errno := h.n.t.admit(h.f, off+int64(len(data))); errno != 0 {
		return 0, errno
	}
	h.n.draft.wrote()
	n, err := h.f.WriteAt(data, off)
	if n > 0 {
		return uint32(n), 0
	}
	return 0, h.n.t.fail(ctx, "write", h.n, err)
}

// Allocate reserves room, or punches holes.
func (h *scratchHandle) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	inside, err := h.n.draft.gate.enter(ctx)
	if err != nil {
		return errnoOf(ctx, err)
	}
	if !inside {
		return syscall.EPERM
	}
	defer h.n.draft.gate.leave()
	if mode&unix.FALLOC_FL_PUNCH_HOLE == 0 {
		if errno := h.n.t.admit(h.f, int64(off+size)); errno != 0 {
			return errno
		}
	}
	h.n.draft.wrote()
	return errnoOf(ctx, unix.Fallocate(int(h.f.Fd()), mode, int64(off), int64(size)))
}

// Lseek finds data and holes.
func (h *scratchHandle) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	at, err := unix.Seek(int(h.f.Fd()), int64(off), int(whence))
	return uint64(at), errnoOf(ctx, err)
}

// Fsync makes what was written durable.
func (h *scratchHandle) Fsync(ctx context.Context, _ uint32) syscall.Errno {
	return h.n.t.fail(ctx, "fsync", h.n, h.f.Sync())
}

// Flush is close(2) of one of the handle's descriptors. One that writes to the name of a blob makes
// the blob.
func (h *scratchHandle) Flush(ctx context.Context) syscall.Errno {
	if !h.writes {
		return 0
	}
	return h.n.closed(ctx)
}

// Release is the end of the handle.
func (h *scratchHandle) Release(context.Context) syscall.Errno {
	h.n.endReader(false)
	if h.writes {
		h.n.endWriter()
	}
	defer h.end()
	return errnoOf(context.Background(), h.f.Close())
}

// has says whether a blob has those bytes there.
func (n *file) has(ctx context.Context, data []byte, off int64) bool {
	blob, err := n.t.blobs.Open(ctx, n.digestNow())
	if err != nil {
		return false
	}
	defer blob.Close()
	p := make([]byte, len(data))
	got, err := blob.ReadAt(ctx, p, off)
	return (err == nil || errors.Is(err, io.EOF)) && bytes.Equal(p[:got], data)
}
