package move

import (
	"context"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/inspect"
)

// Target is where names are brought to.
type Target interface {
	// Has says whether a blob is there, and sees to it that it stays for as long as an export takes.
	Has(ctx context.Context, d ocispec.Descriptor) (bool, error)
	// Put brings a blob there, verified.
	Put(ctx context.Context, from inspect.Source, d ocispec.Descriptor) error
	// Name has a name stand for a manifest that is there with all that it reaches.
	Name(ctx context.Context, name string, m Moved) error
	// Documents says whether it wants manifest and config of a name of type=s3, which can be synthesised.
	Documents() bool
}

// Moved is a manifest that was brought to a target.
type Moved struct {
	From       inspect.Name
	Manifest   []byte
	Config     []byte // of a cache; else nil
	Parsed     cacheconfig.Manifest
	IsManifest bool // else a name stands for any other blob
}

// Progress is told how much there is to bring, and how much of it was brought; it may be called by several
// goroutines.
type Progress interface {
	Plan(blobs int, bytes int64)
	Done(blobs int, bytes int64)
}

const (
	asking   = 32 // questions at once
	bringing = 8  // blobs at once
)

// Copy brings a name to a target, under one name or several.
func Copy(ctx context.Context, from inspect.Source, name string, to Target, as []string, p Progress) error {
	n, err := from.Name(ctx, name)
	if err != nil {
		return err
	}
	closure, err := inspect.Closure(ctx, from, n)
	if err != nil {
		return err
	}
	if n.Synthetic && !to.Documents() {
		closure = closure[2:]
	}
	missing, err := lacking(ctx, closure, to.Has)
	if err != nil {
		return fmt.Errorf("name %q: %w", name, err)
	}
	if err := bring(ctx, from, to, closure, missing, p); err != nil {
		return fmt.Errorf("name %q: %w", name, err)
	}
	m, err := read(ctx, from, n)
	if err != nil {
		return fmt.Errorf("name %q: %w", name, err)
	}
	for _, as := range as {
		if err := to.Name(ctx, as, m); err != nil {
			return err
		}
	}
	return nil
}

// lacking says of which blobs of a closure has says no.
func lacking(ctx context.Context, closure []ocispec.Descriptor, has func(context.Context, ocispec.Descriptor) (bool, error)) ([]bool, error) {
	missing := make([]bool, len(closure))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(asking)
	for i, d := range closure {
		group.Go(func() error {
			there, err := has(ctx, d)
			missing[i] = !there
			return err
		})
	}
	return missing, group.Wait()
}

// bring moves what is missing: manifests come last, each after what it names, which is what the order of a
// closure turned round is.
func bring(ctx context.Context, from inspect.Source, to Target, closure []ocispec.Descriptor, missing []bool, p Progress) error {
	var manifests []ocispec.Descriptor
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(bringing)
	for i, d := range closure {
		if !missing[i] {
			continue
		}
		p.Plan(1, d.Size)
		if cacheconfig.IsManifestType(d.MediaType) {
			manifests = append(manifests, d)
			continue
		}
		group.Go(func() error { return put(gctx, from, to, d, p) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := len(manifests) - 1; i >= 0; i-- {
		if err := put(ctx, from, to, manifests[i], p); err != nil {
			return err
		}
	}
	return nil
}

func put(ctx context.Context, from inspect.Source, to Target, d ocispec.Descriptor, p Progress) error {
	if err := to.Put(ctx, from, d); err != nil {
		return err
	}
	p.Done(1, d.Size)
	return nil
}

// read reads the documents that a name object is made of.
func read(ctx context.Context, from inspect.Source, n inspect.Name) (m Moved, err error) {
	m.From = n
	if m.Manifest, err = inspect.ReadBlob(ctx, from, n.Descriptor); err != nil {
		return m, err
	}
	if m.IsManifest = cacheconfig.IsManifest(m.Manifest); !m.IsManifest {
		return m, nil
	}
	if m.Parsed, err = cacheconfig.ParseManifest(m.Manifest); err != nil || !m.Parsed.IsCache() {
		return m, err
	}
	m.Config, err = inspect.ReadBlob(ctx, from, *m.Parsed.Config)
	return m, err
}
