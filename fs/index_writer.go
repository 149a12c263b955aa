package fs

import (
	"context"
	"errors"
	"sync"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// errIncomplete is what is said of an index.json that is closed before it is whole.
var errIncomplete = errors.New("what was written is not a complete JSON object, and is not published")

// indexWriter is an index.json open for writing. What changed against what it opened is published when a
// truncation leaves a complete index, because there BuildKit looks for an error and at close it does
// not; and at fsync and close if something is left to publish.
type indexWriter struct {
	listing *listing
	appends bool

	mu      sync.Mutex // guards following; a leaf
	base    []byte     // what the content is a change of
	text    text
	written bool // ever
	changes int  // counts them
	public  int  // the change that was published last
}

var (
	_ fusefs.FileReader   = (*indexWriter)(nil)
	_ fusefs.FileWriter   = (*indexWriter)(nil)
	_ fusefs.FileFlusher  = (*indexWriter)(nil)
	_ fusefs.FileFsyncer  = (*indexWriter)(nil)
	_ fusefs.FileReleaser = (*indexWriter)(nil)
)

func newIndexWriter(x *listing, b []byte, flags uint32) *indexWriter {
	w := &indexWriter{listing: x, base: b, text: text{bytes: b}, appends: flags&syscall.O_APPEND != 0}
	if flags&syscall.O_TRUNC != 0 {
		w.text = text{owned: true}
	}
	return w
}

func (w *indexWriter) size() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(len(w.text.bytes))
}

// Read reads what was written.
func (w *indexWriter) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return readText(w.text.bytes, dest, off)
}

// Write writes, in memory.
func (w *indexWriter) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.appends {
		off = int64(len(w.text.bytes))
	}
	if errno := w.text.writeAt(data, off); errno != 0 {
		return 0, errno
	}
	w.written = true
	w.changes++
	return uint32(len(data)), 0
}

// truncate cuts, and publishes what is complete then.
func (w *indexWriter) truncate(ctx context.Context, size int64) syscall.Errno {
	w.mu.Lock()
	cut := size != int64(len(w.text.bytes))
	errno := w.text.truncate(size)
	if errno == 0 && cut && w.written {
		w.changes++
	}
	w.mu.Unlock()
	if errno != 0 {
		return errno
	}
	if err := w.publish(ctx); err != nil && !errors.Is(err, errIncomplete) {
		return w.listing.t.fail(ctx, "truncate", w.listing, err)
	}
	return 0
}

// unpublished returns what is to be published, and the number of its last change.
func (w *indexWriter) unpublished() (before, after []byte, change int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.owned = false // it is published from, and remembered: the next change is made to a copy
	return w.base, w.text.bytes, w.changes, w.changes != w.public
}

// publish publishes what was written since the last time, if that is a complete index.
func (w *indexWriter) publish(ctx context.Context) error {
	before, after, change, ok := w.unpublished()
	if !ok {
		return nil
	}
	if !isObject(after) {
		return errIncomplete
	}
	if err := w.listing.publish(ctx, before, after); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.base, w.public = after, max(w.public, change)
	return nil
}

// Flush is close(2) of one of the handle's descriptors: what is still unpublished is published.
func (w *indexWriter) Flush(ctx context.Context) syscall.Errno {
	return w.listing.t.fail(ctx, "close", w.listing, w.publish(ctx))
}

// Fsync publishes what is complete.
func (w *indexWriter) Fsync(ctx context.Context, _ uint32) syscall.Errno {
	if err := w.publish(ctx); err != nil && !errors.Is(err, errIncomplete) {
		return w.listing.t.fail(ctx, "fsync", w.listing, err)
	}
	return 0
}

// Release is the end of the handle.
func (w *indexWriter) Release(context.Context) syscall.Errno {
	w.listing.close(w)
	return 0
}
