package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// keepEvery is how many chunks come between two keepings of the map: so much of a download at most
// is fetched again after a crash, and so little is left to write when it is complete.
const keepEvery = 128 << 20 / ChunkSize

var errAbsent = errors.New("not here yet")

// length is how many bytes a chunk has.
func (p *Part) length(chunk int) int64 {
	return min(ChunkSize, p.size-int64(chunk)*ChunkSize)
}

// WriteChunk stores one whole chunk (the last may be short) and marks it. One that is there already is
// left as it is. The error wraps syscall.ENOSPC when no room can be made.
func (p *Part) WriteChunk(chunk int, b []byte) error {
	if chunk < 0 || chunk >= p.Chunks() || int64(len(b)) != p.length(chunk) {
		return fmt.Errorf("write chunk %d of blob %s: %d bytes do not fit in a blob of %d", chunk, p.digest, len(b), p.size)
	}
	mine, err := p.claim(chunk)
	if mine {
		err = p.release(chunk, p.write(chunk, b))
	}
	if err != nil {
		return fmt.Errorf("write chunk %d of blob %s: %w", chunk, p.digest, err)
	}
	return nil
}

// claim makes the caller the only one who writes a chunk. If another does, it waits for that; false
// means that the chunk is there, or cannot be written.
func (p *Part) claim(chunk int) (bool, error) {
	for {
		p.mu.Lock()
		err := p.bad
		if p.closed {
			err = os.ErrClosed
		}
		there := p.chunks.has(chunk)
		other := p.writing[chunk]
		mine := err == nil && !there && other == nil
		if mine {
			p.writing[chunk] = make(chan struct{})
		}
		p.mu.Unlock()
		if mine || there || err != nil {
			return mine, err
		}
		<-other
	}
}

func (p *Part) write(chunk int, b []byte) error {
	if err := p.store.admitChunk(int64(len(b))); err != nil {
		return err
	}
	if _, err := p.file.WriteAt(b, int64(chunk)*ChunkSize); err != nil {
		return err
	}
	p.store.grew(p, int64(len(b)))
	return nil
}

// grew counts bytes that were written to a Part.
func (s *Store) grew(p *Part, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := p.entry; e != nil {
		s.table.update(e, func(e *entry) { e.held += n })
	}
}

// release ends a claim; without an error the chunk is there.
func (p *Part) release(chunk int, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.writing[chunk])
	delete(p.writing, chunk)
	if err != nil {
		return err
	}
	p.chunks.set(chunk)
	p.have++
	p.unsaved++
	p.advance()
	if p.unsaved%keepEvery == 0 {
		p.store.background(func() {
			if err := p.save(); err != nil {
				p.store.log.Warn("keep the map of a partial blob", "blob", p.digest, "err", err)
			}
		})
	}
	return nil
}

// ReadAt reads bytes whose chunks are there; an absent chunk is an error. At the end of the blob it is
// io.EOF, as io.ReaderAt has it.
func (p *Part) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read blob %s at %d: the offset is negative", p.digest, off)
	}
	if off >= p.size {
		return 0, io.EOF
	}
	want := b[:min(int64(len(b)), p.size-off)]
	if err := p.readable(off, int64(len(want))); err != nil {
		return 0, fmt.Errorf("read blob %s at %d: %w", p.digest, off, err)
	}
	n, err := p.file.ReadAt(want, off)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // somebody cut the file
	}
	if err != nil {
		return n, fmt.Errorf("read blob %s at %d: %w", p.digest, off, err)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (p *Part) readable(off, n int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bad != nil || n == 0 {
		return p.bad
	}
	for _, gap := range p.missing(int(off/ChunkSize), chunksOf(off+n)) {
		return fmt.Errorf("chunk %d is %w", gap.From, errAbsent)
	}
	return nil
}
