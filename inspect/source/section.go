package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
)

// section is a range of a file, which it closes in the end.
func section(ctx context.Context, f *os.File, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	info, err := f.Stat()
	if err == nil {
		n, err = within(info.Size(), off, n)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read blob %s: %w", d, err), f.Close())
	}
	return &part{ctx: ctx, r: io.NewSectionReader(f, off, n), close: f.Close}, nil
}

// document is a range of what is in memory.
func document(ctx context.Context, b []byte, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	n, err := within(int64(len(b)), off, n)
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", d, err)
	}
	return &part{ctx: ctx, r: bytes.NewReader(b[off : off+n]), close: func() error { return nil }}, nil
}

// within is how many bytes a range of size bytes has.
func within(size, off, n int64) (int64, error) {
	switch {
	case off < 0:
		return 0, fmt.Errorf("offset %d is negative", off)
	case n < 0 && off <= size:
		return size - off, nil
	case off > size || n > size-off:
		return 0, fmt.Errorf("%w: it has only %d bytes", io.ErrUnexpectedEOF, size)
	}
	return n, nil
}

// part is a range of a blob that ends with its context.
type part struct {
	ctx   context.Context
	r     io.Reader
	close func() error
}

func (p *part) Read(b []byte) (int, error) {
	if err := context.Cause(p.ctx); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

func (p *part) Close() error { return p.close() }
