package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/sync/disk"
)

const (
	// asking bounds the requests that one barrier makes at once.
	asking = 32
	// maxManifests and maxClosure bound a closure, so that a hostile bucket cannot make us walk for ever.
	maxManifests = 1_000
	maxClosure   = 1_000_000
	// maxSettled bounds the manifests whose barrier is remembered.
	maxSettled = 10_000
)

// walk lists the closure of a manifest, itself first: every blob that it names, and what the
// manifests among them name. A manifest that lists platforms which were never copied is usual, so a
// child manifest that cannot be found is listed but not walked: ensure reports it.
func (e *Engine) walk(ctx context.Context, root ocispec.Descriptor, b []byte) ([]ocispec.Descriptor, error) {
	closure := []ocispec.Descriptor{bare(root)}
	seen := map[digest.Digest]bool{root.Digest: true}
	todo := [][]byte{b}
	for walked := 0; len(todo) > 0; todo, walked = todo[1:], walked+1 {
		if walked > maxManifests || len(closure) > maxClosure {
			return nil, fmt.Errorf("manifest %s names more than %d manifests or %d blobs", root.Digest, maxManifests, maxClosure)
		}
		m, err := cacheconfig.ParseManifest(todo[0])
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", root.Digest, err)
		}
		for _, c := range m.Children {
			if !seen[c.Digest] {
				seen[c.Digest] = true
				closure = append(closure, bare(c))
			}
		}
		for _, c := range m.Manifests {
			child, err := e.readBlob(ctx, c)
			if errors.Is(err, iofs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			todo = append(todo, child)
		}
	}
	return closure, nil
}

// bare is what a closure keeps of a descriptor.
func bare(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// readBlob reads a manifest or config whole.
func (e *Engine) readBlob(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	r, err := e.Open(ctx, d.Digest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // it was only read
	if r.Size() > maxManifest {
		return nil, fmt.Errorf("read blob %s: %d bytes are too many for a manifest or config", d.Digest, r.Size())
	}
	b := make([]byte, r.Size())
	if _, err := r.ReadAt(ctx, b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read blob %s: %w", d.Digest, err)
	}
	return b, nil
}

// ensure returns when every blob of a closure is in the bucket, and young enough there for its expiry
// rules; it uploads what is missing and here.
func (e *Engine) ensure(ctx context.Context, closure []ocispec.Descriptor) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(asking)
	for _, d := range closure {
		g.Go(func() error { return e.ensureBlob(ctx, d) })
	}
	return g.Wait()
}

func (e *Engine) ensureBlob(ctx context.Context, want ocispec.Descriptor) error {
	local := e.disk.Stat(want.Digest)
	if local.State == disk.Staged {
		return e.uploader.wait(ctx, want.Digest, local.Size, false)
	}
	a, err := e.presence.ask(ctx, want.Digest, rely)
	if err != nil {
		return err
	}
	if !a.found || a.size != want.Size {
		return e.restore(ctx, want, a)
	}
	if time.Since(a.modified) <= e.o.TouchRefresh {
		return nil
	}
	if err := e.guard.TouchBlob(ctx, want.Digest, a.size); err != nil {
		return fmt.Errorf("touch blob %s, which is older than %s: %w", want.Digest, e.o.TouchRefresh, err)
	}
	_, err = e.presence.found(want.Digest, a.size, time.Now())
	return err
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
		return fmt.Errorf("blob %s is neither in the bucket nor here; export again to write it anew: %w", want.Digest, iofs.ErrNotExist)
	}
	if local.State == disk.Warm {
		if err := e.disk.Demote(want.Digest); err != nil {
			return fmt.Errorf("upload blob %s again: %w", want.Digest, err)
		}
	}
	e.log.Warn("a blob is gone from the bucket and is uploaded again", "blob", want.Digest)
	return e.uploader.wait(ctx, want.Digest, want.Size, false)
}

// ensureKnown is the barrier of write back: every blob is here, or believed to be in the bucket.
func (e *Engine) ensureKnown(ctx context.Context, closure []ocispec.Descriptor) error {
	for _, d := range closure {
		if local := e.disk.Stat(d.Digest); local.State == disk.Staged || local.State == disk.Warm {
			continue
		}
		if rec, ok, err := e.index.Blob(d.Digest); err == nil && ok && rec.Where&index.Bucket != 0 {
			continue
		}
		if _, err := e.Stat(ctx, d.Digest); err != nil {
			return fmt.Errorf("blob %s is neither in the bucket nor here: %w", d.Digest, err)
		}
	}
	return nil
}

// barrier returns when everything that a manifest names is in the bucket (under write back: is known).
// That holds for a while.
func (e *Engine) barrier(ctx context.Context, d digest.Digest, b []byte) error {
	if o, ok := e.outcomes.get(d); ok && o.err == nil {
		return nil
	}
	closure, err := e.walk(ctx, ocispec.Descriptor{Digest: d, Size: int64(len(b))}, b)
	if err != nil {
		return err
	}
	if err := e.ensureAs(ctx, closure[1:]); err != nil {
		return err
	}
	e.outcomes.put(d, outcome{passed: atBarrier})
	return nil
}

func (e *Engine) ensureAs(ctx context.Context, closure []ocispec.Descriptor) error {
	if e.o.WriteBack {
		return e.ensureKnown(ctx, closure)
	}
	return e.ensure(ctx, closure)
}

// How far a manifest is.
type passed int

const (
	atBarrier passed = iota // what it names is in the bucket
	settled                 // it is there itself
)

// outcome is how a manifest fared at the barrier.
type outcome struct {
	passed passed
	err    error
	at     time.Time
}

// outcomes remembers how manifests fared, so that a commit after its Prepare, and a publication after
// its commit, cost one request.
type outcomes struct {
	mu sync.Mutex // guards following; a leaf
	by map[digest.Digest]outcome
}

func (o *outcomes) put(d digest.Digest, oc outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by == nil || len(o.by) >= maxSettled {
		o.by = map[digest.Digest]outcome{}
	}
	oc.at = time.Now()
	o.by[d] = oc
}

// failed returns the failure that Prepare met, once: a client that tries again is tried again.
func (o *outcomes) failed(d digest.Digest) error {
	oc, ok := o.get(d)
	if !ok || oc.err == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.by, d)
	return oc.err
}

func (o *outcomes) get(d digest.Digest) (outcome, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	oc, ok := o.by[d]
	age := time.Since(oc.at)
	return oc, ok && (oc.err == nil && age < rely || oc.err != nil && age < pause)
}

func (e *Engine) settle(d digest.Digest) { e.outcomes.put(d, outcome{passed: settled}) }

func (e *Engine) isSettled(d digest.Digest) bool {
	o, ok := e.outcomes.get(d)
	return ok && o.err == nil && o.passed == settled
}
