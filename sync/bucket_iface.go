package sync

import (
	"context"
	"io"
	"iter"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// BlobBucket is the half of the bucket that holds blobs.
type BlobBucket interface {
	StatBlob(ctx context.Context, d digest.Digest) (bucket.Object, error)
	OpenBlob(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error)
	PutBlob(ctx context.Context, d digest.Digest, r io.ReaderAt, size int64) error
	TouchBlob(ctx context.Context, d digest.Digest, size int64) error
	ListBlobs(ctx context.Context) iter.Seq2[bucket.Object, error]
}

// AheadBucket is what a BlobBucket may be, too: it begins to upload a blob while it is written, and PutBlob goes on
// with that (see bucket.Client.PutAhead).
type AheadBucket interface {
	PutAhead(ctx context.Context, d digest.Digest, r io.ReaderAt, size int64, written <-chan int64) error
}

// UnfinishedBucket is what a BlobBucket may be, too: it knows of uploads in parts that an earlier process was killed in
// (see bucket.Client.DropUnfinished).
type UnfinishedBucket interface {
	DropUnfinished(ctx context.Context) error
}

// NameBucket is the half of the bucket that holds names.
type NameBucket interface {
	GetNameUpTo(ctx context.Context, name string, limit int64) (bucket.Name, error)
	PutName(ctx context.Context, name string, body []byte, d *ocispec.Descriptor) error
	EnsureListed(ctx context.Context, name string) error
	DeleteName(ctx context.Context, name string) error
	ListNames(ctx context.Context, prefix string) iter.Seq2[bucket.NameEntry, error]
}

var (
	_ BlobBucket       = (*bucket.Client)(nil)
	_ AheadBucket      = (*bucket.Client)(nil)
	_ UnfinishedBucket = (*bucket.Client)(nil)
	_ NameBucket       = (*bucket.Client)(nil)
)
