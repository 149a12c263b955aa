package disk

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// Part is an open partial blob. One Part per digest is open at a time, shared and counted. Its methods
// are safe for concurrent use.
type Part struct {
	s      *Store
	digest digest.Digest
	file   *os.File
	refs   int // guarded by Store.mu

	mu       sync.Mutex // guards following
	m        *chunkMap
	changed  bool // since the map was written
	verified bool
	finished bool // it is no partial blob any more: warm, or dropped

	hashing sync.Mutex // guards following; taken before mu
	hash    hash.Hash
	hashed  int // chunks, from the first
}

// Part opens the partial copy of d, or begins one; the space for it is reserved first. The error wraps
// ENOSPC when there is too little, and fs.ErrExist when d is complete here.
func (s *Store) Part(d digest.Digest, size int64) (*Part, error) {
	if err := check(d); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, fmt.Errorf("partial copy of %s: size %d is negative", d, size)
	}
	for {
		p, wait, err := s.openPart(d, size)
		if err != nil {
			return nil, fmt.Errorf("partial copy of %s: %w", d, err)
		}
		if p != nil {
			return p, s.roomFor(p)
		}
		<-wait
	}
}

// openPart returns the open part or opens one; if one is just being closed, what to wait for.
func (s *Store) openPart(d digest.Digest, size int64) (*Part, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait, ok := s.closing[d]; ok {
		return nil, wait, nil
	}
	if p, ok := s.parts[d]; ok {
		if p.m.size != size {
			return nil, nil, fmt.Errorf("it has %d bytes, not %d", p.m.size, size)
		}
		p.refs++
		return p, nil, nil
	}
	if c, ok := s.copies[d]; ok && c.state != Partial {
		return nil, nil, iofs.ErrExist
	}
	p, err := s.newPart(d, size)
	if err != nil {
		return nil, nil, err
	}
	s.parts[d] = p
	s.put(d, Partial, size)
	return p, nil, nil
}

func (s *Store) newPart(d digest.Digest, size int64) (*Part, error) {
	path := s.path(Partial, d)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	m, err := readMap(path + mapSuffix)
	if err != nil || m.size != size {
		m = newMap(size)
		if err := os.Remove(path + mapSuffix); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Part{s: s, digest: d, file: f, refs: 1, m: m, hash: d.Algorithm().Hash()}, nil
}

// roomFor makes room for what a part has reserved. A blob larger than the cache is let in while it is
// open; there must be free space for it, though.
func (s *Store) roomFor(p *Part) error {
	p.mu.Lock()
	need := int64(chunks(p.m.size)-p.m.have) * ChunkSize
	p.mu.Unlock()
	lacking, err := s.makeRoom(0)
	if err == nil && lacking+need > 0 {
		lacking, err = s.makeRoom(need)
		if err == nil && lacking > 0 {
			err = s.full(need, lacking)
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("partial copy of %s: %w", p.digest, err), p.Close())
	}
	return nil
}

// Size of the whole blob in bytes.
func (p *Part) Size() int64 { return p.m.size }

// Chunks is the number of chunks of the whole blob.
func (p *Part) Chunks() int { return chunks(p.m.size) }

// Has says whether a chunk is there.
func (p *Part) Has(chunk int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.m.has(chunk)
}

// Missing lists the ranges of chunks in [from,to) that are not there.
func (p *Part) Missing(from, to int) []Range {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.m.missing(from, to)
}

// Complete says whether all chunks are there.
func (p *Part) Complete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.m.complete()
}

// WriteChunk stores one whole chunk (the last may be short) and hashes it if it is the next in order.
func (p *Part) WriteChunk(chunk int, b []byte) error {
	off := int64(chunk) * ChunkSize
	if chunk < 0 || off >= p.m.size || int64(len(b)) != min(ChunkSize, p.m.size-off) {
		return fmt.Errorf("chunk %d of %s: %d bytes are not its length", chunk, p.digest, len(b))
	}
	if _, err := p.file.WriteAt(b, off); err != nil {
		return fmt.Errorf("chunk %d of %s: %w", chunk, p.digest, err)
	}
	p.mu.Lock()
	p.m.set(chunk)
	p.changed = true
	p.mu.Unlock()
	if !p.hashing.TryLock() {
		return nil // whoever hashes comes to it, or Verify does
	}
	defer p.hashing.Unlock()
	if p.hashed == chunk {
		p.hash.Write(b)
		p.hashed++
	}
	return p.hashOn(context.Background())
}

// hashOn hashes the chunks that follow what is hashed, as far as they are there.
func (p *Part) hashOn(ctx context.Context) error {
	var buf []byte
	for p.hashed < chunks(p.m.size) && p.Has(p.hashed) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if buf == nil {
			buf = make([]byte, ChunkSize)
		}
		n, err := p.file.ReadAt(buf, int64(p.hashed)*ChunkSize)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("hash %s: %w", p.digest, err)
		}
		p.hash.Write(buf[:n])
		p.hashed++
	}
	return nil
}

// ReadAt reads bytes whose chunks are there; it is an error to read others.
func (p *Part) ReadAt(b []byte, off int64) (int, error) {
	if len(b) == 0 || off >= p.m.size {
		return p.file.ReadAt(b, off)
	}
	last := min(off+int64(len(b)), p.m.size) - 1
	if rs := p.Missing(int(off/ChunkSize), int(last/ChunkSize)+1); len(rs) > 0 {
		return 0, fmt.Errorf("read %s: chunk %d is not here", p.digest, rs[0].From)
	}
	return p.file.ReadAt(b, off)
}

// Verify hashes what was not hashed on its way in and compares. On ErrMismatch the copy is dropped.
func (p *Part) Verify(ctx context.Context) error {
	p.hashing.Lock()
	defer p.hashing.Unlock()
	p.mu.Lock()
	verified, complete := p.verified, p.m.complete()
	p.mu.Unlock()
	if verified {
		return nil
	}
	if !complete {
		return fmt.Errorf("verify %s: it is not complete", p.digest)
	}
	if err := p.hashOn(ctx); err != nil {
		return err
	}
	if err := match(p.hash, p.digest, p.m.size); err != nil {
		return errors.Join(fmt.Errorf("verify %s: %w", p.digest, err), p.discard())
	}
	p.mu.Lock()
	p.verified = true
	p.mu.Unlock()
	return nil
}

// Finish turns a complete part into a warm blob, verifying it first. After a success it does nothing.
// The part can still be read until it is closed.
func (p *Part) Finish(ctx context.Context) error {
	if err := p.Verify(ctx); err != nil {
		return err
	}
	// A warm blob is not hashed at start, so its bytes must be on disk before its name is.
	if err := unix.Fdatasync(int(p.file.Fd())); err != nil {
		return fmt.Errorf("finish %s: %w", p.digest, err)
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.finished {
		return nil
	}
	p.finished = true
	delete(p.s.parts, p.digest)
	return p.s.arrive(p.digest, p.m.size)
}

// arrive moves a verified partial copy to the warm ones, unless the blob came another way meanwhile.
func (s *Store) arrive(d digest.Digest, size int64) error {
	path := s.path(Partial, d)
	if err := os.Remove(path + mapSuffix); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return fmt.Errorf("finish %s: %w", d, err)
	}
	if c := s.copies[d]; c != nil && c.state != Partial {
		return os.Remove(path)
	}
	if err := s.rename(path, Warm, d); err != nil {
		return fmt.Errorf("finish %s: %w", d, err)
	}
	s.put(d, Warm, size)
	return nil
}

// discard drops the partial copy: its bytes are wrong. Readers of this part keep the unlinked file;
// the next Part begins anew.
func (p *Part) discard() error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.finished {
		return nil
	}
	p.finished = true
	delete(p.s.parts, p.digest)
	if c := p.s.copies[p.digest]; c == nil || c.state != Partial {
		return nil
	}
	return p.s.remove(p.digest)
}

// Close gives the part back. What is there stays on disk, for a later Part.
func (p *Part) Close() error {
	done, last := p.s.leave(p)
	if !last {
		return nil
	}
	err := p.persist()
	err = errors.Join(err, p.file.Close())
	if done != nil {
		p.s.mu.Lock()
		delete(p.s.closing, p.digest)
		if c := p.s.copies[p.digest]; c != nil && c.state != Partial {
			// It came another way while it was open.
			path := p.s.path(Partial, p.digest)
			_, _ = os.Remove(path+mapSuffix), os.Remove(path)
		}
		p.s.mu.Unlock()
		close(done)
		_, roomErr := p.s.makeRoom(0)
		err = errors.Join(err, roomErr)
	}
	return err
}

// leave counts a closer; the last one is to write the map, and others wait for it.
func (s *Store) leave(p *Part) (done chan struct{}, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.refs--
	if p.refs > 0 {
		return nil, false
	}
	if s.parts[p.digest] != p {
		return nil, true // finished or dropped
	}
	delete(s.parts, p.digest)
	done = make(chan struct{})
	s.closing[p.digest] = done
	return done, true
}

// persist writes the map, after the data that it claims.
func (p *Part) persist() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.finished || !p.changed {
		return nil
	}
	if err := unix.Fdatasync(int(p.file.Fd())); err != nil {
		return fmt.Errorf("keep the partial copy of %s: %w", p.digest, err)
	}
	if err := writeDurably(p.s.path(Partial, p.digest)+mapSuffix, p.m.encode()); err != nil {
		return fmt.Errorf("keep the partial copy of %s: %w", p.digest, err)
	}
	p.changed = false
	return nil
}
