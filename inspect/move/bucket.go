package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/index/tag"
	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// Keeper is what it takes to give a name to what is in a bucket.
type Keeper interface {
	StatBlob(ctx context.Context, d digest.Digest) (bucket.Object, error)
	TouchBlob(ctx context.Context, d digest.Digest, size int64) error
	GetName(ctx context.Context, name string) (bucket.Name, error)
	PutListedName(ctx context.Context, name string, body []byte, d *ocispec.Descriptor) error
}

var _ Keeper = (*bucket.Client)(nil)

// Bucket is a bucket as a Target.
type Bucket struct {
	client *bucket.Client
	from   *bucket.Client // whose blobs may be copied within the server; or nil
}

// ToBucket brings names to a bucket. If they come from another bucket, from is its client.
func ToBucket(client, from *bucket.Client) *Bucket {
	if from != nil && !client.SameServer(from) {
		from = nil
	}
	return &Bucket{client, from}
}

// Has implements Target.
func (b *Bucket) Has(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	return relied(ctx, b.client, d, b.client.Config().TouchRefresh)
}

// relied looks for a blob, and touches it if it is as old as exporters touch blobs at: then neither prune nor
// an expiry rule removes it before the name is written.
func relied(ctx context.Context, k Keeper, d ocispec.Descriptor, refresh time.Duration) (bool, error) {
	o, err := k.StatBlob(ctx, d.Digest)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case o.Size != d.Size:
		return false, nil // of a damaged one there is nothing to rely on
	case time.Since(o.LastModified) <= refresh:
		return true, nil
	}
	err = k.TouchBlob(ctx, d.Digest, o.Size)
	if errors.Is(err, iofs.ErrNotExist) { // pruned in between
		return false, nil
	}
	return err == nil, err
}

// Put implements Target.
func (b *Bucket) Put(ctx context.Context, from inspect.Source, d ocispec.Descriptor) error {
	if b.from != nil && b.client.CopyBlob(ctx, b.from, d.Digest, d.Size) == nil {
		return nil
	}
	if err := b.verify(ctx, from, d); err != nil {
		return err
	}
	r := inspect.ReaderAt(ctx, from, d.Digest)
	return errors.Join(b.client.PutBlob(ctx, d.Digest, r, d.Size), r.Close())
}

// verify makes sure of the bytes ahead of their upload: of one in parts the server does not.
func (b *Bucket) verify(ctx context.Context, from inspect.Source, d ocispec.Descriptor) error {
	r, err := from.Open(ctx, d.Digest, 0, -1)
	if err != nil {
		return err
	}
	sum := d.Digest.Algorithm().Hash()
	n, err := io.Copy(sum, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("read blob %s: %w", d.Digest, err)
	}
	if found := digest.NewDigest(d.Digest.Algorithm(), sum); found != d.Digest || n != d.Size {
		return fmt.Errorf("blob %s: %w: there are %d bytes with the digest %s", d.Digest, inspect.ErrMismatch, n, found)
	}
	return nil
}

// notCache is what a type=s3 client is to read under the name of what is no cache: an empty cache.
var notCache = []byte("{}")

// Name implements Target.
func (b *Bucket) Name(ctx context.Context, name string, m Moved) error {
	body := notCache
	if m.IsManifest && m.Parsed.IsCache() {
		var err error
		if body, err = cacheconfig.Export(m.Parsed, m.Config); err != nil {
			return fmt.Errorf("name %q: %w", name, err)
		}
	}
	if m.From.Synthetic {
		return b.client.PutListedName(ctx, name, body, nil)
	}
	d := tag.Stored(m.From.Descriptor)
	return b.client.PutListedName(ctx, name, body, &d)
}

// Documents implements Target: mounts synthesise them.
func (b *Bucket) Documents() bool { return false }

// Tag gives what one name of a bucket stands for another name, too.
func Tag(ctx context.Context, src inspect.Source, k Keeper, name, as string, refresh time.Duration) error {
	n, err := src.Name(ctx, name)
	if err != nil {
		return err
	}
	closure, err := inspect.Closure(ctx, src, n)
	if err != nil {
		return err
	}
	if n.Synthetic {
		closure = closure[2:] // manifest and config are made of the name object
	}
	missing, err := lacking(ctx, closure, func(ctx context.Context, d ocispec.Descriptor) (bool, error) { return relied(ctx, k, d, refresh) })
	if err != nil {
		return fmt.Errorf("tag %q: %w", name, err)
	}
	for i, d := range closure {
		if missing[i] {
			return fmt.Errorf("tag %q: blob %s of it is missing: %w; `layoutfs verify` finds out more", name, d.Digest, iofs.ErrNotExist)
		}
	}
	obj, err := k.GetName(ctx, name)
	if err != nil {
		return err
	}
	return k.PutListedName(ctx, as, obj.Body, obj.Descriptor)
}
