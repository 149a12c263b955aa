package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// Putter is what UploadFrom needs of a bucket.
type Putter interface {
	PutBlob(ctx context.Context, d digest.Digest, r io.ReaderAt, size int64) error
}

// UploadFrom writes blobs to a bucket, over what is there, from where they are right.
func UploadFrom(local inspect.Source, to Putter) func(context.Context, digest.Digest) error {
	return func(ctx context.Context, d digest.Digest) error {
		b, err := local.Stat(ctx, d)
		if err != nil {
			return err
		}
		if err := rightBytes(ctx, local, d); err != nil {
			return err
		}
		r := inspect.ReaderAt(ctx, local, d)
		return errors.Join(to.PutBlob(ctx, d, r, b.Size), r.Close())
	}
}

// rightBytes makes sure that a blob is what its digest says.
func rightBytes(ctx context.Context, src inspect.Source, d digest.Digest) error {
	r, err := src.Open(ctx, d, 0, -1)
	if err != nil {
		return err
	}
	sum := d.Algorithm().Hash()
	_, err = io.Copy(sum, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if found := digest.NewDigest(d.Algorithm(), sum); found != d {
		return fmt.Errorf("local copy of blob %s: %w: it has the digest %s", d, disk.ErrMismatch, found)
	}
	return nil
}

// DropFrom drops local copies of a cache directory that no daemon owns; a daemon that does is an error.
func DropFrom(dir string) func(context.Context, digest.Digest) error {
	var mu sync.Mutex // one store at a time has the directory
	return func(_ context.Context, d digest.Digest) error {
		mu.Lock()
		defer mu.Unlock()
		store, err := disk.Open(dir, disk.Options{})
		if err != nil {
			return err
		}
		return errors.Join(store.Remove(d), store.Close())
	}
}
