package fs

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// modes counts the open handles of a file by who reads for them. The kernel refuses, with EIO, a
// passthrough open of a file that is open otherwise (unless without its cache and unmapped), and while
// there is one any other open, or one with another backing file (fs/fuse/iomode.c). So the two do not
// mix: while one kind is open, every further open is of that kind.
type modes struct {
	others int // handles that the daemon reads for
	backed int // handles that the kernel reads for, all through the backing file id
	id     int32
	source origin // the local file that was opened last, and of which the kernel may have pages
}

// passthrough is what a Blob may be, too.
type passthrough interface{ PassthroughFd() (fd int, ok bool) }

// blobHandle is a blob open for reading.
type blobHandle struct {
	n      *file
	blob   Blob
	backed bool
}

var (
	_ fusefs.FileReader   = (*blobHandle)(nil)
	_ fusefs.FileFsyncer  = (*blobHandle)(nil)
	_ fusefs.FileReleaser = (*blobHandle)(nil)
)

func (n *file) openBlob(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	switch {
	case writing(flags):
		return n.openRewriter(ctx, flags)
	case cutsUnwritten(flags):
		return nil, 0, syscall.EPERM
	case !n.isForReaders(ctx):
		n.t.turns.end(ctx, n.digestNow()) // of a thread that was killed, and whose number is used again
		return nil, 0, syscall.ESTALE
	}
	blob, err := n.t.blobs.Open(ctx, n.digestNow())
	if err != nil {
		return nil, 0, n.t.fail(ctx, "open", n, err)
	}
	h := &blobHandle{n: n, blob: blob}
	if flags, ok := n.admitReader(ctx, h); ok {
		return h, flags, 0
	}
	_ = n.t.fail(ctx, "close", n, blob.Close()) // which logs it
	return nil, 0, syscall.ESTALE
}

// patience is how long the end of a handle is waited for that was closed: Linux tells of it right after
// close(2) has returned.
const patience = 100 * time.Millisecond

// awaitWriters waits for those who closed their handles, and not for those who keep them.
func (n *file) awaitWriters(ctx context.Context) {
	n.mu.Lock()
	writers, left := n.writers, n.left
	n.mu.Unlock()
	if writers == 0 {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-left:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// isForReaders says whether a blob may be read through this node. One that is still open for writing has
// pages in the kernel that a writer may change, so it is not: ESTALE makes Linux look the name up again, and
// find a new node.
func (n *file) isForReaders(ctx context.Context) bool {
	n.awaitWriters(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.superseded = n.superseded || n.writers > 0
	return !n.superseded && !n.private
}

// supersede gives a new node to whoever looks the name up next.
func (n *file) supersede() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.superseded = true
}

// admitReader decides who reads for a new handle, and counts it. It returns the flags of the open; false if it
// must be of another node.
func (n *file) admitReader(ctx context.Context, h *blobHandle) (flags uint32, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.joins(h.blob) {
		n.superseded = true
		return 0, false
	}
	if h.backed = n.backed(h.blob); h.backed {
		n.modes.backed++
		n.t.backing.answer(ctx.Done(), n.modes.id)
		return fuse.FOPEN_NOFLUSH, true
	}
	n.modes.others++
	if _, complete := completeFd(h.blob); complete && n.t.backing.off != "" {
		return fuse.FOPEN_NOFLUSH | n.cached(), true
	}
	// Not through the kernel's cache: that would keep the opens of the complete blob from passthrough until
	// its pages are dropped, and nobody has verified what is there of an incomplete one.
	n.unverified = true
	return fuse.FOPEN_NOFLUSH | fuse.FOPEN_DIRECT_IO, true
}

// cached says whether the kernel may keep the pages that it has of a complete blob. It has some of an
// incomplete one that was mapped, and drops them when nothing else is open. n.mu is held.
func (n *file) cached() uint32 {
	if !n.unverified {
		return fuse.FOPEN_KEEP_CACHE
	}
	n.unverified = n.modes.others > 1
	return 0
}

// completeFd is the local file of a complete blob.
func completeFd(b Blob) (fd int, ok bool) {
	if pt, is := b.(passthrough); is {
		return pt.PassthroughFd()
	}
	return -1, false
}

// backed says whether the kernel is to read a blob itself, and makes sure that modes.id is registered
// then. n.mu is held.
func (n *file) backed(blob Blob) bool {
	if n.modes.backed > 0 {
		return true
	}
	fd, ok := completeFd(blob)
	return ok && n.backs(fd)
}

// backs registers a local file for the kernel, unless the node is open otherwise. n.mu is held.
func (n *file) backs(fd int) bool {
	if n.modes.others > 0 || n.t.backing.off != "" {
		return false
	}
	id, err := n.t.backing.register(fd)
	if err != nil {
		n.t.log.Warn("a file is read through the daemon", "blob", n.digest, "err", err)
		return false
	}
	n.modes.id = id
	return true
}

// Read reads; what is missing is fetched meanwhile.
func (h *blobHandle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n, err := h.blob.ReadAt(ctx, dest, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, h.n.t.fail(ctx, "read", h.n, err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Fsync has nothing to do.
func (h *blobHandle) Fsync(context.Context, uint32) syscall.Errno { return 0 }

// Release is the end of the handle.
func (h *blobHandle) Release(ctx context.Context) syscall.Errno {
	h.n.endReader(h.backed)
	return h.n.t.fail(ctx, "close", h.n, h.blob.Close())
}

// endReader counts a handle out. The kernel has left the backing file before it says that a handle is
// released, so the last one may give it up.
func (n *file) endReader(backed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !backed {
		n.modes.others--
		return
	}
	if n.modes.backed--; n.modes.backed > 0 {
		return
	}
	if err := n.t.backing.unregister(n.modes.id); err != nil {
		n.t.log.Warn("read a blob", "blob", n.digest, "err", err)
	}
}
