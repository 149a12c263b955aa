package layer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression of a layer, by BuildKit's names.
type Compression string

// The compressions.
const (
	Uncompressed Compression = "uncompressed"
	Gzip         Compression = "gzip"
	Zstd         Compression = "zstd"
	EStargz      Compression = "estargz"
	ZstdChunked  Compression = "zstd:chunked"
)

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	// skippableMagic begins with a byte from 0x50 to 0x5f.
	skippableMagic = []byte{0x2a, 0x4d, 0x18}
)

// Sniff tells a compression from the first bytes.
func Sniff(b []byte) Compression {
	switch {
	case bytes.HasPrefix(b, gzipMagic):
		return Gzip
	case bytes.HasPrefix(b, zstdMagic):
		return Zstd
	case len(b) >= 4 && b[0]&0xf0 == 0x50 && bytes.Equal(b[1:4], skippableMagic):
		return Zstd
	}
	return Uncompressed
}

// maxWindow is the most that a zstd decoder keeps, in bytes: that of `zstd --ultra -22`.
const maxWindow = 128 << 20

// decompress reads what r holds, however it is compressed.
func decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch Sniff(head) {
	case Gzip:
		return gzip.NewReader(b)
	case Zstd:
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(b), nil
}

// archive is the tar in a layer, open for reading.
type archive struct {
	io.Reader
	close func() error
}

// archive opens the tar in the layer. One that is not compressed can be read in leaps.
func (l *Layer) archive(ctx context.Context) (*archive, error) {
	blob, err := l.Open(ctx, 0, -1)
	if err != nil {
		return nil, err
	}
	b := bufio.NewReaderSize(blob, 64<<10)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, blob.Close())
	}
	if Sniff(head) == Uncompressed {
		s := &leaper{ctx: ctx, l: l, blob: blob, r: b}
		return &archive{s, s.close}, nil
	}
	r, err := decompress(b)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("decompress: %w", err), blob.Close())
	}
	return &archive{r, func() error { return errors.Join(r.Close(), blob.Close()) }}, nil
}

// leap is how many bytes it is worth a request of its own to pass over.
const leap = 1 << 20

// leaper reads a blob from its beginning to its end, and makes a new request to pass over much of it.
// archive/tar finds out by itself that it can seek.
type leaper struct {
	ctx  context.Context
	l    *Layer
	blob io.ReadCloser
	r    *bufio.Reader
	at   int64
}

func (s *leaper) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.at += int64(n)
	return n, err
}

// Seek implements io.Seeker for what archive/tar does: to tell where it is, and to go forward.
func (s *leaper) Seek(off int64, whence int) (int64, error) {
	if whence == io.SeekCurrent {
		off += s.at
	}
	if whence == io.SeekEnd || off < s.at {
		return s.at, errors.New("a layer is read forward only")
	}
	if off-s.at < leap {
		n, err := io.CopyN(io.Discard, s.r, off-s.at)
		s.at += n
		if errors.Is(err, io.EOF) { // archive/tar would take it for the end of the archive
			err = io.ErrUnexpectedEOF
		}
		return s.at, err
	}
	if off > s.l.Size {
		return s.at, io.ErrUnexpectedEOF
	}
	if err := s.blob.Close(); err != nil {
		return s.at, err
	}
	blob, err := s.l.Open(s.ctx, off, -1)
	if err != nil {
		return s.at, err
	}
	s.blob, s.at = blob, off
	s.r.Reset(blob)
	return off, nil
}

func (s *leaper) close() error { return s.blob.Close() }
