package inspect

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
)

// maxStreams is how many places of a blob are read at once without opening it anew: as many as parts of it
// are usually sent.
const maxStreams = 8

// Streams reads a blob of a source at any offset, for what wants an io.ReaderAt and reads in order, at a few
// places at once, as an upload in parts does: a read that goes on where another ended opens nothing anew.
type Streams struct {
	ctx context.Context
	src Source
	d   digest.Digest

	mu   sync.Mutex // guards following; a leaf
	idle []stream   // the one that was used last is the last
}

type stream struct {
	at   int64
	body io.ReadCloser
}

// ReaderAt reads a blob until ctx ends. Close it.
func ReaderAt(ctx context.Context, src Source, d digest.Digest) *Streams {
	return &Streams{ctx: ctx, src: src, d: d}
}

// ReadAt implements io.ReaderAt.
func (s *Streams) ReadAt(p []byte, off int64) (int, error) {
	st, err := s.take(off)
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(st.body, p)
	st.at += int64(n)
	if err != nil {
		err = errors.Join(err, st.body.Close())
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF // as io.ReaderAt has it
		}
		return n, err
	}
	return n, s.put(st)
}

// take is the stream that is at an offset, or a new one.
func (s *Streams) take(off int64) (stream, error) {
	s.mu.Lock()
	for i, st := range s.idle {
		if st.at == off {
			s.idle = append(s.idle[:i], s.idle[i+1:]...)
			s.mu.Unlock()
			return st, nil
		}
	}
	s.mu.Unlock()
	body, err := s.src.Open(s.ctx, s.d, off, -1)
	return stream{off, body}, err
}

func (s *Streams) put(st stream) error {
	s.mu.Lock()
	s.idle = append(s.idle, st)
	var oldest io.Closer
	if len(s.idle) > maxStreams {
		oldest = s.idle[0].body
		s.idle = s.idle[1:]
	}
	s.mu.Unlock()
	if oldest == nil {
		return nil
	}
	return oldest.Close()
}

// Close closes what is open.
func (s *Streams) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, st := range s.idle {
		errs = append(errs, st.body.Close())
	}
	s.idle = nil
	return errors.Join(errs...)
}
