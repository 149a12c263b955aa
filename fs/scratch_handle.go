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
	f      *os.File // if the kernel reads and writes itself, for reading alone
	writes bool
	backed bool
	seen   look   // when it was opened, of what the kernel writes
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

// errCommits is what an open is told that a commit overtakes.
var errCommits = errors.New("the file is being made a blob")

// newScratchHandle makes a handle of a local file that is open for reading. tree.moves is held.
func newScratchHandle(ctx context.Context, n *file, f *os.File, flags uint32, end func()) (*scratchHandle, error) {
	h := &scratchHandle{n: n, f: f, writes: writing(flags), end: end}
	if !n.countIn(ctx, h) {
		return nil, errors.Join(errCommits, f.Close())
	}
	switch {
	case !h.writes:
		return h, nil
	case h.backed:
		h.seen, _ = lookAt(f)
		return h, nil
	}
	w, err := reopen(f, int(flags&syscall.O_ACCMODE))
	if err != nil {
		n.endReader(false)
		n.countOut()
		return nil, errors.Join(err, f.Close())
	}
	_ = f.Close() // it was not written to
	h.f = w
	return h, nil
}

// countIn decides whether the kernel reads and writes for a new handle, and counts it; false if a commit is under
// way, which is to know of every writer.
func (n *file) countIn(ctx context.Context, h *scratchHandle) bool {
	ample := n.mayBeBacked() && n.t.room.isAmple()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.draft.gate.now() != open {
		return false
	}
	if h.backed = n.modes.backed > 0 || ample && n.backs(int(h.f.Fd())); h.backed {
		n.modes.backed++
		n.modes.source = originOfFd(int(h.f.Fd()))
		n.t.backing.answer(ctx.Done(), n.modes.id)
	} else {
		n.modes.others++
	}
	if !h.writes {
		return true
	}
	if h.backed {
		n.t.room.begin(n.t.ctx)
	}
	if n.writers == 0 {
		n.left = make(chan struct{})
	}
	n.writers++
	return true
}

// mayBeBacked says whether the kernel may write the file itself. Not one at the name of a blob, which is made one
// while it is open. tree.moves is held.
func (n *file) mayBeBacked() bool {
	_, named := n.at.in.target(n.at.name)
	return n.t.backing.writes && !named
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
	return errnoOf(ctx, h.change(func(f *os.File) error {
		return unix.Fallocate(int(f.Fd()), mode, int64(off), int64(size))
	}))
}

// change calls f with the local file open for writing.
func (h *scratchHandle) change(f func(*os.File) error) error {
	if !h.backed {
		return f(h.f)
	}
	w, err := reopen(h.f, os.O_WRONLY)
	if err != nil {
		return err
	}
	return errors.Join(f(w), w.Close())
}

// Lseek finds data and holes.
func (h *scratchHandle) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	at, err := unix.Seek(int(h.f.Fd()), int64(off), int(whence))
	return uint64(at), errnoOf(ctx, err)
}

// Fsync makes what was written durable.
func (h *scratchHandle) Fsync(ctx context.Context, _ uint32) syscall.Errno {
	if errno := h.behind(ctx); errno != 0 {
		return errno
	}
	return h.n.t.fail(ctx, "fsync", h.n, h.f.Sync())
}

// Flush is close(2) of one of the handle's descriptors. One that writes to the name of a blob makes
// the blob.
func (h *scratchHandle) Flush(ctx context.Context) syscall.Errno {
	if !h.writes {
		return 0
	}
	if errno := h.behind(ctx); errno != 0 {
		return errno
	}
	return h.n.closed(ctx)
}

// Release is the end of the handle.
func (h *scratchHandle) Release(context.Context) syscall.Errno {
	defer h.end()
	err := h.f.Close()
	h.n.endReader(h.backed)
	if h.writes && h.backed {
		h.n.t.room.end()
	}
	if h.writes {
		h.n.endWriter()
	}
	return errnoOf(context.Background(), err)
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
