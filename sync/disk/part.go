package disk

import (
	"errors"
	"fmt"
	"hash"
	iofs "io/fs"
	"os"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// ChunkSize is the granularity of a partial blob's map, in bytes: what a read of a few bytes waits for. It fits into
// the cache of a CPU, where it is hashed.
const ChunkSize = 256 << 10

// Range is a half-open range of chunk numbers.
type Range struct{ From, To int }

// Part is an open partial blob; all methods are safe for concurrent use. One Part per digest is
// open at a time: Store.Part returns the same one to every caller, counted.
//
// Its file is not evicted while it is open. If the blob is removed, or staged by a client, meanwhile,
// the Part goes on by itself: it can be read, filled and finished, and leaves nothing behind.
type Part struct {
	store  *Store
	digest digest.Digest
	size   int64
	file   *os.File
	id     inode

	turn   chan struct{} // one place, held by who finishes
	saving sync.Mutex    // held while the map is kept

	refs  int    // guarded by Store.mu
	entry *entry // guarded by Store.mu; nil when the Part goes on by itself

	mu      sync.Mutex // guards following
	chunks  bitmap
	have    int                   // chunks that are there
	unsaved int                   // of them, since the map was kept
	writing map[int]chan struct{} // chunks that are being written; closed when done
	sum     hash.Hash             // of the chunks before hashed; used by one goroutine at a time
	hashed  int                   // chunks
	hashing chan struct{}         // closed when the goroutine that hashes ends; nil if none does
	hashErr error
	done    bool  // verified
	bad     error // does not match
	closed  bool
}

// Part opens (or begins) the partial copy of d. It fails with ENOSPC at once if the blob cannot fit;
// space is made as the chunks come. If the complete blob is there, the Part is one of it, finished.
func (s *Store) Part(d digest.Digest, size int64) (*Part, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("open partial copy of %q: %w", d, err)
	}
	if size < 0 || size > maxSize {
		return nil, fmt.Errorf("open partial copy of blob %s: it cannot have %d bytes", d, size)
	}
	s.mu.Lock()
	p, gone, err := s.part(d, size)
	s.mu.Unlock()
	s.discard(gone)
	if err != nil {
		return nil, fmt.Errorf("open partial copy of blob %s: %w", d, err)
	}
	return p, nil
}

// part finds or makes the Part of a blob. With mu held.
func (s *Store) part(d digest.Digest, size int64) (p *Part, gone []trash, err error) {
	if s.closed {
		return nil, nil, os.ErrClosed
	}
	e := s.table.get(d)
	if e != nil && e.size != size && (e.part != nil || e.complete()) {
		return nil, nil, fmt.Errorf("%w: it should have %d bytes and has %d here", ErrMismatch, size, e.size)
	}
	if e != nil && e.part != nil {
		e.part.refs++
		return e.part, nil, nil
	}
	if e != nil && e.complete() {
		if p, err = s.wholePart(e); !errors.Is(err, iofs.ErrNotExist) {
			return p, nil, err
		}
		e = nil
	}
	if e != nil {
		if p, err = s.resume(e, size); err == nil {
			return p, nil, nil
		}
		s.log.Warn("a partial blob is of no use and is fetched anew", "blob", d, "err", err)
		gone = append(gone, s.drop(e))
	}
	p, err = s.begin(d, size)
	return p, gone, err
}

func (s *Store) newPart(d digest.Digest, f *os.File, m partMap) *Part {
	return &Part{
		store: s, digest: d, size: m.size, file: f, id: m.file, refs: 1,
		turn: make(chan struct{}, 1), chunks: m.chunks, have: m.chunks.count(),
		writing: map[int]chan struct{}{}, sum: d.Algorithm().Hash(),
	}
}

// wholePart is a Part of a complete blob.
func (s *Store) wholePart(e *entry) (*Part, error) {
	f, err := s.openWhole(e)
	if err != nil {
		return nil, err
	}
	s.used(e)
	m := partMap{size: e.size, chunks: newBitmap(chunksOf(e.size))}
	for i := range chunksOf(e.size) {
		m.chunks.set(i)
	}
	p := s.newPart(e.digest, f, m)
	p.done = true
	return p, nil
}

// resume opens a partial blob that an earlier Part left.
func (s *Store) resume(e *entry, size int64) (*Part, error) {
	f, err := os.OpenFile(s.path(e), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	m, err := loadMap(f, size)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p := s.newPart(e.digest, f, m)
	if err := s.fits(size - p.bytes()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.attach(p, e)
	return p, nil
}

// loadMap reads the map of a partial blob and holds it against the file.
func loadMap(f *os.File, size int64) (partMap, error) {
	b, err := os.ReadFile(f.Name() + mapSuffix)
	if err != nil {
		return partMap{}, err
	}
	m, err := decodeMap(b)
	if err != nil {
		return partMap{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return partMap{}, err
	}
	id, err := inodeOf(f)
	if err != nil {
		return partMap{}, err
	}
	if m.size != size || info.Size() != size || m.file != id {
		return partMap{}, fmt.Errorf("%w: it is of another file or size", errMap)
	}
	return m, nil
}

// begin makes an empty partial blob.
func (s *Store) begin(d digest.Digest, size int64) (*Part, error) {
	if err := s.fits(size); err != nil {
		return nil, err
	}
	path := s.file(partialDir, d)
	// Neither is there as far as we know; a file that is not ours must not become the blob.
	if err := errors.Join(remove(path+mapSuffix), remove(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	id, err := inodeOf(f)
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), remove(path))
	}
	p := s.newPart(d, f, partMap{size: size, file: id, chunks: newBitmap(chunksOf(size))})
	e := &entry{digest: d, state: Partial, dir: partialDir, size: size}
	s.table.add(e)
	s.attach(p, e)
	return p, nil
}

// attach makes p the Part of an entry.
func (s *Store) attach(p *Part, e *entry) {
	p.entry = e
	s.table.update(e, func(e *entry) {
		e.part, e.held, e.used = p, p.bytes(), time.Now()
	})
}

// bytes is how much of the blob is there, before anyone else knows the Part.
func (p *Part) bytes() int64 {
	n := int64(p.have) * ChunkSize
	if chunks := p.Chunks(); chunks > 0 && p.chunks.has(chunks-1) {
		n -= int64(chunks)*ChunkSize - p.size
	}
	return n
}

// Size of the whole blob.
func (p *Part) Size() int64 { return p.size }

// Chunks is the number of chunks.
func (p *Part) Chunks() int { return chunksOf(p.size) }

// Has says whether a chunk is there.
func (p *Part) Has(chunk int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return chunk >= 0 && chunk < p.Chunks() && p.chunks.has(chunk)
}

// Missing lists the ranges of chunks in [from,to) that are not there.
func (p *Part) Missing(from, to int) []Range {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.missing(max(from, 0), min(to, p.Chunks()))
}

func (p *Part) missing(from, to int) (gaps []Range) {
	for at := from; at < to; at++ {
		if p.chunks.has(at) {
			continue
		}
		if n := len(gaps); n > 0 && gaps[n-1].To == at {
			gaps[n-1].To++
		} else {
			gaps = append(gaps, Range{at, at + 1})
		}
	}
	return gaps
}

// Complete says whether all chunks are there.
func (p *Part) Complete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.complete()
}

// Left is how many chunks are not there.
func (p *Part) Left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Chunks() - p.have
}

func (p *Part) complete() bool { return p.have == p.Chunks() }
