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

// Dropper drops local copies of a cache directory that no daemon owns; that one does is an error of Drop.
type Dropper struct {
	dir string

	mu    sync.Mutex // guards following; held while local copies are dropped
	store *disk.Store
}

// DropFrom drops local copies of a cache directory. It is opened when the first one goes. Close it.
func DropFrom(dir string) *Dropper { return &Dropper{dir: dir} }

// Drop drops a local copy, unless it is not in the bucket yet.
func (x *Dropper) Drop(_ context.Context, d digest.Digest) (err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.store == nil {
		if x.store, err = disk.Open(x.dir, disk.Options{}); err != nil {
			return err
		}
	}
	return x.store.Remove(d)
}

// Close lets a daemon have the directory.
func (x *Dropper) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.store == nil {
		return nil
	}
	err := x.store.Close()
	x.store = nil
	return err
}
