package inspect

import (
	"context"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// warming is how many blobs are brought to local disk at once.
const warming = 8

// Cold lists those of some blobs that are not on local disk.
func Cold(ctx context.Context, src Source, blobs []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	cold := make([]bool, len(blobs))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * warming)
	for i, d := range blobs {
		group.Go(func() error {
			b, err := src.Stat(gctx, d.Digest)
			cold[i] = b.In&Local == 0
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var list []ocispec.Descriptor
	for i, d := range blobs {
		if cold[i] {
			list = append(list, d)
		}
	}
	return list, nil
}

// Warmer is a source with a local disk that can be filled.
type Warmer interface {
	Source
	Warm(ctx context.Context, d digest.Digest) error
}

// Fetch brings blobs to local disk, several at a time; done is told of each.
func Fetch(ctx context.Context, src Warmer, blobs []ocispec.Descriptor, done func(size int64)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(warming)
	for _, d := range blobs {
		group.Go(func() error {
			if err := src.Warm(ctx, d.Digest); err != nil {
				return err
			}
			done(d.Size)
			return nil
		})
	}
	return group.Wait()
}
