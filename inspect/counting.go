package inspect

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
)

// Counting is a source that tells how many bytes are read of it.
func Counting(src Source, count func(n int64)) Source {
	c := counting{src, count}
	if l, ok := src.(localLister); ok {
		return struct {
			counting
			localLister
		}{c, l}
	}
	return c
}

type counting struct {
	Source
	count func(n int64)
}

// Open implements Source.
func (c counting) Open(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	r, err := c.Source.Open(ctx, d, off, n)
	if err != nil {
		return nil, err
	}
	return &countedReader{r, c.count}, nil
}

type countedReader struct {
	io.ReadCloser
	count func(n int64)
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.count(int64(n))
	return n, err
}
