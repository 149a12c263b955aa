package inspect

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"
)

// ReaderAt reads a blob of a source at any offset. Each read opens the blob, so reads should be large.
func ReaderAt(ctx context.Context, src Source, d digest.Digest) io.ReaderAt {
	return readerAt{ctx, src, d}
}

type readerAt struct {
	ctx context.Context
	src Source
	d   digest.Digest
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	body, err := r.src.Open(r.ctx, r.d, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(body, p)
	return n, errors.Join(err, body.Close())
}
