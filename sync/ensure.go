package sync

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/sync/disk"
)

const (
	// asking bounds the requests that are made at once for one closure.
	asking = 32
	// knownWithin is how long the bucket is asked, under write back, about what is here: a build does not
	// wait for it.
	knownWithin = 3 * time.Second
)

// ensure returns when every blob of a closure is in the bucket; it uploads what is missing and here. Those
// that are so old that they should be touched it lists.
func (e *Engine) ensure(ctx context.Context, closure []ocispec.Descriptor) (old []ocispec.Descriptor, err error) {
	var mu sync.Mutex // guards old
	err = each(ctx, closure, func(ctx context.Context, d ocispec.Descriptor) error {
		age, err := e.ensureBlob(ctx, d)
		if age > e.o.TouchRefresh {
			mu.Lock()
			defer mu.Unlock()
			old = append(old, d)
		}
		return err
	})
	return old, err
}

// ensureYoung is ensure with old blobs touched.
func (e *Engine) ensureYoung(ctx context.Context, closure []ocispec.Descriptor) error {
	old, err := e.ensure(ctx, closure)
	if err != nil {
		return err
	}
	return each(ctx, old, e.touch)
}

// each calls f for every blob of a closure, some at once. A blob that is not there does not end it, so that one export
// finds all that the next is to write again.
func each(ctx context.Context, closure []ocispec.Descriptor, f func(context.Context, ocispec.Descriptor) error) error {
	var mu sync.Mutex // guards absent
	absent := map[digest.Digest]error{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(asking)
	for _, d := range closure {
		g.Go(func() error {
			err := f(ctx, d)
			if !errors.Is(err, iofs.ErrNotExist) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			absent[d.Digest] = err
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, d := range closure {
		if err, ok := absent[d.Digest]; ok {
			return alsoOthers(err, len(absent)-1)
		}
	}
	return nil
}

// alsoOthers adds to the error of one blob how many more are like it.
func alsoOthers(err error, n int) error {
	if n == 0 {
		return err
	}
	return fmt.Errorf("%w (%d more as well)", err, n)
}

// ensureBlob returns when a blob is in the bucket, and for how long it has been.
func (e *Engine) ensureBlob(ctx context.Context, want ocispec.Descriptor) (age time.Duration, err error) {
	local := e.disk.Stat(want.Digest)
	if local.State == disk.Staged {
		return 0, e.uploader.wait(ctx, want.Digest, local.Size, false)
	}
	a, err := e.presence.ask(ctx, want.Digest, rely)
	if err != nil {
		return 0, err
	}
	if !a.found || a.size != want.Size {
		return 0, e.restore(ctx, want, a)
	}
	return time.Since(a.modified), nil
}

// restore uploads again what the bucket has lost and we still have.
func (e *Engine) restore(ctx context.Context, want ocispec.Descriptor, a answer) error {
	if err := e.materialise(ctx, want.Digest); err != nil {
		return err
	}
	local := e.disk.Stat(want.Digest)
	if local.Size != want.Size || local.State != disk.Warm && local.State != disk.Staged {
		if a.found {
			return fmt.Errorf("blob %s has %d bytes in the bucket and should have %d: %w", want.Digest, a.size, want.Size, disk.ErrMismatch)
		}
		return e.nowhere(want.Digest)
	}
	if local.State == disk.Warm {
		if err := e.disk.Demote(want.Digest); err != nil {
			return fmt.Errorf("upload blob %s again: %w", want.Digest, err)
		}
	}
	e.log.Warn("a blob is gone from the bucket and is uploaded again", "blob", want.Digest)
	return e.uploader.wait(ctx, want.Digest, want.Size, false)
}

// touch makes a blob young, so that expiry rules spare it.
func (e *Engine) touch(ctx context.Context, d ocispec.Descriptor) error {
	err := e.guard.TouchBlob(ctx, d.Digest, d.Size)
	if errors.Is(err, iofs.ErrNotExist) {
		if err := e.presence.missing(d.Digest); err != nil {
			return err
		}
		return e.restore(ctx, d, answer{})
	}
	if err != nil {
		return fmt.Errorf("touch blob %s, which is older than %s: %w", d.Digest, e.o.TouchRefresh, err)
	}
	_, err = e.presence.found(d.Digest, d.Size, time.Now())
	return err
}

// touchLater touches with nobody waiting.
func (e *Engine) touchLater(old []ocispec.Descriptor) {
	if err := each(e.ctx, old, e.touch); err != nil && e.ctx.Err() == nil {
		e.guard.report(err)
		e.log.Warn("blobs of a name that was published could not be touched", "err", err)
	}
}

// ensureKnown is the barrier of write back: every blob is staged, or in the bucket as far as is known.
func (e *Engine) ensureKnown(ctx context.Context, closure []ocispec.Descriptor) error {
	asked, cancel := context.WithTimeout(ctx, knownWithin)
	defer cancel()
	return each(ctx, closure, func(ctx context.Context, d ocispec.Descriptor) error {
		return e.ensureKnownBlob(ctx, asked, d)
	})
}

// ensureKnownBlob stages anew what is here and not surely in the bucket: a warm copy may be evicted at any
// time.
func (e *Engine) ensureKnownBlob(ctx, asked context.Context, d ocispec.Descriptor) error {
	if e.disk.Stat(d.Digest).State == disk.Staged {
		return nil
	}
	var a answer
	known := false
	if e.guard.up() {
		var err error
		a, err = e.presence.ask(asked, d.Digest, believe)
		known = err == nil
	}
	if known && a.found && a.size == d.Size {
		return nil
	}
	if err := e.materialise(ctx, d.Digest); err != nil {
		return err
	}
	if local := e.disk.Stat(d.Digest); local.State == disk.Warm && local.Size == d.Size {
		if err := e.disk.Demote(d.Digest); err != nil {
			return fmt.Errorf("keep blob %s until it is in the bucket: %w", d.Digest, err)
		}
		e.uploader.add(d.Digest, d.Size, !known)
		return nil
	}
	if rec, ok, err := e.index.Blob(d.Digest); err == nil && ok && !known && rec.Where&index.Bucket != 0 {
		return nil
	}
	return e.nowhere(d.Digest)
}

// errNotYet says that a blob is not there and never was, as far as this host knows: a client that copies a
// layout file by file may write it after the manifest that names it.
var errNotYet = fmt.Errorf("nobody has written it yet: %w", iofs.ErrNotExist)

// nowhere is what is said of a blob that is neither in the bucket nor here.
func (e *Engine) nowhere(d digest.Digest) error {
	_, known, err := e.index.Blob(d)
	if err == nil && !known {
		known, err = e.index.Reached(d)
	}
	if err == nil && !known {
		return fmt.Errorf("blob %s is neither in the bucket nor here: %w", d, errNotYet)
	}
	return fmt.Errorf("blob %s is neither in the bucket nor here; export again to write it anew: %w", d, iofs.ErrNotExist)
}
