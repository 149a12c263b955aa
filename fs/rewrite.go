package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// rewriter is an existing blob open for writing, as by cp over it. The blob itself is not touched: what
// is written after a truncation to nothing goes to a file of its own, which is committed in its place
// at close, where it must prove to be the same.
type rewriter struct {
	n     *file
	blob  Blob // for an open that reads, too
	draft draft

	mu   sync.Mutex // guards following; held over calls to the local disk at most
	anew *os.File   // nil until the truncation
}

var (
	_ fusefs.FileReader   = (*rewriter)(nil)
	_ fusefs.FileWriter   = (*rewriter)(nil)
	_ fusefs.FileFlusher  = (*rewriter)(nil)
	_ fusefs.FileFsyncer  = (*rewriter)(nil)
	_ fusefs.FileReleaser = (*rewriter)(nil)
)

// openRewriter opens a blob for writing, by the second try (turns.go).
func (n *file) openRewriter(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	d := n.digestNow()
	if !n.takeForRewriter() {
		n.t.turns.begin(ctx, d)
		return nil, 0, syscall.ESTALE
	}
	n.t.turns.end(ctx, d)
	r := &rewriter{n: n}
	if flags&syscall.O_ACCMODE == syscall.O_RDWR {
		blob, err := n.t.blobs.Open(ctx, d)
		if err != nil {
			n.endReader(false)
			return nil, 0, n.t.fail(ctx, "open", n, err)
		}
		r.blob = blob
	}
	return r, fuse.FOPEN_DIRECT_IO, n.cut(ctx, r, flags)
}

// takeForRewriter takes a node that was made for one rewriter, and that nobody has taken. The kernel has one
// length and one set of pages for a node, and who reads the blob is to see neither of what is written anew.
func (n *file) takeForRewriter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.private || n.modes.others > 0 {
		return false
	}
	n.modes.others++
	return true
}

// fill tells the length of what is written anew, if there is any.
func (r *rewriter) fill(a *fuse.Attr) syscall.Errno {
	f := r.begun()
	if f == nil {
		return 0
	}
	info, err := f.Stat()
	if err == nil {
		a.Size = uint64(info.Size())
	}
	return r.n.t.fail(context.Background(), "stat", r.n, err)
}

// begun returns the file that is written anew, if there is one.
func (r *rewriter) begun() *os.File {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.anew
}

// begin makes a file to write anew, unless there is one.
func (r *rewriter) begin() (*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.anew != nil {
		return r.anew, nil
	}
	f, err := os.CreateTemp(r.n.t.spool, "anew-*")
	if err != nil {
		return nil, fmt.Errorf("write a blob anew: %w", err)
	}
	r.anew = f
	return f, nil
}

// truncate begins anew at size 0, and cuts what was written since.
func (r *rewriter) truncate(ctx context.Context, size int64) syscall.Errno {
	if r.begun() == nil && size != 0 {
		return r.n.truncateBlob(size)
	}
	inside, err := r.draft.gate.enter(ctx)
	if err != nil {
		return errnoOf(ctx, err)
	}
	if !inside {
		return syscall.EPERM
	}
	defer r.draft.gate.leave()
	f, err := r.begin()
	if err != nil {
		return r.n.t.fail(ctx, "truncate", r.n, err)
	}
	return errnoOf(ctx, r.n.t.truncate(f, &r.draft, size))
}

// Read reads what was written anew, or else the blob.
func (r *rewriter) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	var n int
	var err error
	if f := r.begun(); f != nil {
		n, err = f.ReadAt(dest, off)
	} else {
		n, err = r.blob.ReadAt(ctx, dest, off)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, r.n.t.fail(ctx, "read", r.n, err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Write writes anew. In the midst of a blob nothing can be written.
func (r *rewriter) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	f := r.begun()
	if f == nil {
		return 0, syscall.EPERM
	}
	inside, err := r.draft.gate.enter(ctx)
	if err != nil {
		return 0, errnoOf(ctx, err)
	}
	if !inside {
		return 0, syscall.EPERM
	}
	defer r.draft.gate.leave()
	if errno := r.n.t.admit(f, off+int64(len(data))); errno != 0 {
		return 0, errno
	}
	r.draft.wrote()
	n, err := f.WriteAt(data, off)
	return uint32(n), r.n.t.fail(ctx, "write", r.n, err)
}

// Flush is close(2): what was written anew must be the blob.
func (r *rewriter) Flush(ctx context.Context) syscall.Errno {
	f := r.begun()
	if f == nil || !r.draft.takeWritten() {
		return r.draft.verdict(ctx)
	}
	r.n.noteWriter(r.n.digestNow())
	_, err := r.draft.gate.commit(ctx, func(ctx context.Context) error {
		return r.n.t.blobs.Commit(ctx, f.Name(), r.n.digestNow())
	})
	return r.draft.judged(r.n.t.fail(ctx, "close", r.n, err))
}

// Fsync has nothing to do: the commit at close makes the blob durable.
func (r *rewriter) Fsync(context.Context, uint32) syscall.Errno { return 0 }

// Release is the end of the handle, and of what was written and did not become the blob.
func (r *rewriter) Release(ctx context.Context) syscall.Errno {
	r.n.endReader(false)
	var errs []error
	if r.blob != nil {
		errs = append(errs, r.blob.Close())
	}
	if f := r.begun(); f != nil {
		errs = append(errs, f.Close())
		if r.draft.gate.now() == open {
			errs = append(errs, os.Remove(f.Name()))
		}
	}
	return r.n.t.fail(ctx, "close", r.n, errors.Join(errs...))
}
