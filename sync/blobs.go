package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"iter"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// Stat returns the size of a blob that can be opened, from local disk, from what is known, or with one
// request.
func (e *Engine) Stat(ctx context.Context, d digest.Digest) (int64, error) {
	if !e.offered(ctx, d) {
		return 0, fmt.Errorf("stat blob %s: blobs that it names are gone: %w", d, iofs.ErrNotExist)
	}
	return e.stat(ctx, d)
}

// stat is Stat for ourselves.
func (e *Engine) stat(ctx context.Context, d digest.Digest) (int64, error) {
	rec, known, err := e.index.Blob(d)
	if err != nil {
		return 0, fmt.Errorf("stat blob %s: %w", d, err)
	}
	if known && e.isHidden(rec) {
		return 0, fmt.Errorf("stat blob %s: removed here: %w", d, iofs.ErrNotExist)
	}
	if local := e.disk.Stat(d); local.State == disk.Warm || local.State == disk.Staged {
		return local.Size, nil
	}
	if size, ok := e.synthetic(d); ok {
		return size, nil
	}
	if known && believed(rec) {
		return rec.Size, nil
	}
	return e.statBucket(ctx, d, rec)
}

func (e *Engine) statBucket(ctx context.Context, d digest.Digest, rec index.Blob) (int64, error) {
	a, err := e.presence.ask(ctx, d, believe)
	switch {
	case err == nil && a.found:
		return a.size, nil
	case err == nil:
		return 0, fmt.Errorf("stat blob %s: %w", d, iofs.ErrNotExist)
	case !errors.Is(err, bucket.ErrUnreachable):
		return 0, err
	case rec.Where&index.Bucket != 0:
		return rec.Size, nil // as last known
	case e.o.WriteBack || e.o.Offline:
		return 0, fmt.Errorf("stat blob %s: %w", d, iofs.ErrNotExist) // so that it can be written
	}
	return 0, err
}

// Reader is a blob open for reading: a complete local copy, or a download. It has the methods of
// fs.Blob; the daemon adapts Engine.Open, whose result type differs.
type Reader struct {
	file *os.File
	size int64
	dl   *download
	anew bool
}

// Open opens a blob; nothing is downloaded yet.
func (e *Engine) Open(ctx context.Context, d digest.Digest) (*Reader, error) {
	if !e.offered(ctx, d) {
		return nil, fmt.Errorf("open blob %s: blobs that it names are gone: %w", d, iofs.ErrNotExist)
	}
	r, err := e.open(ctx, d)
	if err == nil {
		e.opened(d, r.size)
	}
	return r, err
}

// open is Open for ourselves.
func (e *Engine) open(ctx context.Context, d digest.Digest) (*Reader, error) {
	size, err := e.stat(ctx, d)
	if err != nil {
		return nil, err
	}
	if err := e.materialise(ctx, d); err != nil {
		return nil, err
	}
	e.used(d)
	f, err := e.local(ctx, d)
	if err == nil {
		e.fetchAfter(d)
		return &Reader{file: f, size: size, anew: e.disk.WasWrong(d)}, nil
	}
	if errors.Is(err, disk.ErrDropped) {
		return e.open(ctx, d)
	}
	if !errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("open blob %s: %w", d, err)
	}
	if size == 0 && d.Algorithm().FromBytes(nil) != d {
		return nil, fmt.Errorf("open blob %s: it is empty in the bucket: %w", d, disk.ErrMismatch)
	}
	dl, err := e.fetcher.acquire(d, size)
	if err != nil {
		return nil, err
	}
	if f := e.awaitCopy(ctx, dl); f != nil {
		e.fetcher.release(dl)
		return &Reader{file: f, size: size, anew: e.disk.WasWrong(d)}, nil
	}
	return &Reader{dl: dl, size: size, anew: e.disk.WasWrong(d)}, nil
}

// awaitCopy returns the complete copy of a blob whose download is about to end; nil if it is not.
func (e *Engine) awaitCopy(ctx context.Context, dl *download) *os.File {
	if !dl.isComing() {
		return nil
	}
	e.fetchAfter(dl.digest)
	if !dl.settled(ctx) {
		return nil
	}
	f, err := e.local(ctx, dl.digest)
	if err != nil {
		return nil
	}
	return f
}

// ReadAt reads, fetching first what is not there.
func (r *Reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off >= r.size {
		return 0, io.EOF
	}
	if r.dl != nil {
		return r.dl.readAt(ctx, p, off)
	}
	return r.file.ReadAt(p, off)
}

// Size of the blob in bytes.
func (r *Reader) Size() int64 { return r.size }

// PassthroughFd is the file descriptor of the complete local copy, if there is one.
func (r *Reader) PassthroughFd() (int, bool) {
	if r.file == nil {
		return -1, false
	}
	return int(r.file.Fd()), true
}

// Anew says that a copy which was here before was wrong, so that nothing which was kept of it is of use.
func (r *Reader) Anew() bool { return r.anew }

// Close closes.
func (r *Reader) Close() error {
	if r.dl != nil {
		r.dl.f.release(r.dl)
		return nil
	}
	return r.file.Close()
}

// useGrain is how exactly the last use of a blob is kept in the index.
const useGrain = time.Minute

// used notes the use of a blob in the index. Recency on disk is the disk's own; this survives a restart.
func (e *Engine) used(d digest.Digest) {
	rec, known, err := e.index.Blob(d)
	if err == nil && known && within(useGrain, rec.Used) {
		return
	}
	if err == nil {
		err = e.index.UpdateBlob(d, func(b *index.Blob) { b.Used = time.Now() })
	}
	if err != nil {
		e.log.Warn("note the use of a blob", "blob", d, "err", err)
	}
}

// Shows says whether a layout shows a blob of the pool. The manifests of names that are not the layout's it
// does not, as far as that is known.
func (e *Engine) Shows(_ context.Context, scope string, d digest.Digest) bool {
	if scope == "" || !e.catalog.isForeign(d, scope) {
		return true
	}
	own, err := e.index.ReachedFrom(d, func(name string) bool { return inScope(scope, name) })
	if err != nil {
		e.log.Warn("whose manifest it is cannot be told", "blob", d, "err", err)
	}
	return own || err != nil
}

// Forget drops the local copy. A blob that no name reaches is hidden until it is committed again; one
// that a name reaches comes back from the bucket. The bucket is left alone.
func (e *Engine) Forget(ctx context.Context, d digest.Digest) error {
	reached, err := e.reached(ctx, d)
	if err != nil {
		return fmt.Errorf("forget blob %s: %w", d, err)
	}
	if !reached {
		err := e.index.UpdateBlob(d, func(b *index.Blob) { b.Where |= index.Hidden })
		if err == nil {
			err = e.index.Flush() // nothing else says that it was removed
		}
		if err != nil {
			return fmt.Errorf("forget blob %s: %w", d, err)
		}
	}
	if err := e.disk.Remove(d); err != nil {
		return fmt.Errorf("forget blob %s: %w", d, err)
	}
	return nil
}

// All lists the blobs that a layout shows: in the root everything that is known here or in the
// bucket, in a name's layout what its tags reach and what is local and no name reaches. Hidden ones
// are left out.
func (e *Engine) All(ctx context.Context, scope string) iter.Seq2[digest.Digest, error] {
	return func(yield func(digest.Digest, error) bool) {
		seen := map[digest.Digest]bool{}
		emit := func(d digest.Digest, err error) bool {
			if err != nil {
				return yield("", err)
			}
			if seen[d] || e.hidden(d) {
				return true
			}
			seen[d] = true
			return yield(d, nil)
		}
		if !e.eachReached(ctx, scope, emit) || !e.eachLocal(ctx, scope, emit) || scope != "" {
			return
		}
		for obj, err := range e.guard.ListBlobs(ctx) {
			if errors.Is(err, bucket.ErrUnreachable) {
				e.eachIndexed(emit)
				return
			}
			// Not noted as seen: a bucket may hold a million blobs, and lists each once.
			if err == nil && (seen[obj.Digest] || e.hidden(obj.Digest)) {
				continue
			}
			if !yield(obj.Digest, err) || err != nil {
				return
			}
		}
	}
}

// hidden says whether a blob was removed here and is not shown for that.
func (e *Engine) hidden(d digest.Digest) bool {
	rec, ok, err := e.index.Blob(d)
	return err == nil && ok && e.isHidden(rec)
}

// isHidden says whether a blob that was removed is still reached by no name: one may have been published
// since, or could not be read then.
func (e *Engine) isHidden(rec index.Blob) bool {
	if rec.Where&index.Hidden == 0 {
		return false
	}
	reached, err := e.index.Reached(rec.Digest)
	return err == nil && !reached
}

// eachReached passes on the closures of the names of a scope; false when emit said so.
func (e *Engine) eachReached(ctx context.Context, scope string, emit func(digest.Digest, error) bool) bool {
	for _, name := range e.catalog.within(scope) {
		closure, err := e.Closure(ctx, name)
		if err != nil {
			e.log.Warn("list the blobs of a name", "name", name, "err", err)
			continue
		}
		h := e.catalog.healthOf(name)
		if h.shown != nil && !emit(h.shown.Digest, nil) {
			return false
		}
		for _, desc := range closure {
			if !h.gone[desc.Digest] && !emit(desc.Digest, nil) {
				return false
			}
		}
	}
	return true
}

// eachLocal passes on complete local blobs: all of them in the root, elsewhere those no name reaches.
func (e *Engine) eachLocal(ctx context.Context, scope string, emit func(digest.Digest, error) bool) bool {
	for info := range e.disk.All() {
		if info.State == disk.Partial {
			continue
		}
		if scope != "" {
			if reached, err := e.reached(ctx, info.Digest); err != nil || reached {
				continue
			}
		}
		if !emit(info.Digest, nil) {
			return false
		}
	}
	return true
}

// eachIndexed passes on what was last known to be in the bucket.
func (e *Engine) eachIndexed(emit func(digest.Digest, error) bool) {
	for rec, err := range e.index.Blobs() {
		if err == nil && rec.Where&index.Bucket == 0 {
			continue
		}
		if !emit(rec.Digest, err) {
			return
		}
	}
}
