package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
)

const (
	// maxManifests and maxClosure bound a closure, so that a hostile bucket cannot make us walk for ever.
	maxManifests = 1_000
	maxClosure   = 1_000_000
	// maxChild is the largest manifest that another one may name, in bytes: what a registry must take, and many take
	// no more, https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests.
	maxChild = 4 << 20
)

// walk lists the closure of a manifest, itself first: every blob that it names, and what the
// manifests among them name. A manifest that lists platforms which were never copied is usual, so a
// child manifest that cannot be found is listed but not walked: ensure reports it.
func (e *Engine) walk(ctx context.Context, root ocispec.Descriptor, b []byte) ([]ocispec.Descriptor, error) {
	closure := []ocispec.Descriptor{bare(root)}
	seen := map[digest.Digest]bool{root.Digest: true}
	var todo []ocispec.Descriptor
	for walked := 1; b != nil; walked++ {
		m, err := cacheconfig.ParseManifest(b)
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", root.Digest, err)
		}
		for _, c := range m.Children {
			if !seen[c.Digest] {
				seen[c.Digest] = true
				closure = append(closure, bare(c))
			}
		}
		if todo = append(todo, m.Manifests...); walked+len(todo) > maxManifests || len(closure) > maxClosure {
			return nil, fmt.Errorf("manifest %s names more than %d manifests or %d blobs", root.Digest, maxManifests, maxClosure)
		}
		if b, todo, err = e.readFirst(ctx, todo); err != nil {
			return nil, err
		}
	}
	return closure, nil
}

// readFirst reads the first blob of a list that can be found, nil if there is none, and returns what is after it.
// Children are small: those of what people publish name one platform each.
func (e *Engine) readFirst(ctx context.Context, list []ocispec.Descriptor) (b []byte, rest []ocispec.Descriptor, err error) {
	for i, d := range list {
		if d.Size > maxChild {
			return nil, nil, fmt.Errorf("manifest %s has %d bytes, of one that another names %d are the most", d.Digest, d.Size, maxChild)
		}
		if b, err = e.readBlob(ctx, d); !errors.Is(err, iofs.ErrNotExist) {
			return b, list[i+1:], err
		}
	}
	return nil, nil, nil
}

// bare is what a closure keeps of a descriptor.
func bare(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// readBlob reads a manifest or config whole.
func (e *Engine) readBlob(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	r, err := e.open(ctx, d.Digest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // it was only read
	if r.Size() > maxManifest || r.Size() > smallName && r.Size() != d.Size {
		return nil, fmt.Errorf("read blob %s: it has %d bytes, its descriptor says %d, and %d are the most", d.Digest, r.Size(), d.Size, maxManifest)
	}
	b := make([]byte, r.Size())
	if _, err := r.ReadAt(ctx, b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read blob %s: %w", d.Digest, err)
	}
	return b, nil
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
	if e.o.WriteBack {
		err = e.ensureKnown(ctx, closure[1:])
	} else {
		err = e.ensureYoung(ctx, closure[1:])
	}
	if err == nil {
		e.outcomes.put(d, outcome{passed: atBarrier})
	}
	return err
}
