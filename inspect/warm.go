package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// warming is how many blobs are read at once.
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

// Fetch reads blobs whole, which is what brings them to the local disk of a mount, where they are verified.
func Fetch(ctx context.Context, src Source, blobs []ocispec.Descriptor) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(warming)
	for _, d := range blobs {
		group.Go(func() error {
			r, err := src.Open(ctx, d.Digest, 0, -1)
			if err != nil {
				return err
			}
			_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 1<<20))
			if err = errors.Join(err, r.Close()); err != nil {
				return fmt.Errorf("read blob %s: %w", d.Digest, err)
			}
			return nil
		})
	}
	return group.Wait()
}
