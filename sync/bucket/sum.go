package bucket

import (
	"errors"
	"hash/maphash"
	"io"
	"sync"
)

// summed is the body of a part that is summed as it is read. The sum tells whether a part that was sent is what it
// is now. It is keyed with what nobody outside knows, so it cannot be met on purpose, and it is far faster than a
// digest, which a part needs none of: the blob has one.
type summed struct {
	*io.SectionReader

	mu   sync.Mutex // the transport reads in a goroutine of its own
	hash maphash.Hash
}

func (c *Client) summed(r io.ReaderAt, p part) *summed {
	s := &summed{SectionReader: io.NewSectionReader(r, p.off, p.len)}
	s.hash.SetSeed(c.seed)
	return s
}

// Read reads and sums.
func (s *summed) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.SectionReader.Read(p)
	_, _ = s.hash.Write(p[:n]) // never fails
	return n, err
}

// Seek begins the sum anew at the beginning, where each attempt to send a part begins.
func (s *summed) Seek(offset int64, whence int) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.SectionReader.Seek(offset, whence)
	if at == 0 {
		s.hash.Reset()
	}
	return at, err
}

// sum is of what was read since the beginning.
func (s *summed) sum() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hash.Sum64()
}

// sumOf is the sum of a part as it is now.
func (c *Client) sumOf(r io.ReaderAt, p part) (uint64, error) {
	s := c.summed(r, p)
	buf := make([]byte, 64<<10)
	for {
		switch _, err := s.Read(buf); {
		case errors.Is(err, io.EOF):
			return s.sum(), nil
		case err != nil:
			return 0, err
		}
	}
}
