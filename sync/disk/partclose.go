package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Close gives the Part back; the partial copy stays on disk, and its map is kept with the last Close.
func (p *Part) Close() error {
	s := p.store
	s.mu.Lock()
	if p.refs == 0 {
		s.mu.Unlock()
		return fmt.Errorf("close blob %s: %w", p.digest, os.ErrClosed)
	}
	p.refs--
	last := p.refs == 0
	s.mu.Unlock()
	if !last {
		return nil
	}
	if err := errors.Join(p.save(), p.retire()); err != nil {
		return fmt.Errorf("close blob %s: %w", p.digest, err)
	}
	return nil
}

// save keeps the map, when the bytes that it claims are durable.
func (p *Part) save() error {
	p.saving.Lock()
	defer p.saving.Unlock()
	p.mu.Lock()
	chunks, count := partMap{size: p.size, file: p.id, chunks: bytes.Clone(p.chunks)}, p.unsaved
	needed := count > 0 && !p.done && p.bad == nil && !p.closed
	p.mu.Unlock()
	if !needed || !p.store.attached(p) {
		return nil
	}
	if err := unix.Fdatasync(int(p.file.Fd())); err != nil {
		return fmt.Errorf("make %s durable: %w", p.file.Name(), err)
	}
	path, err := p.store.writeTemp(chunks.encode())
	if err != nil {
		return err
	}
	if err := p.store.putMap(p, path); err != nil {
		return errors.Join(err, remove(path))
	}
	p.mu.Lock()
	p.unsaved -= count
	p.mu.Unlock()
	return nil
}

func (s *Store) attached(p *Part) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.entry != nil
}

// putMap moves a map from tmp/ to where it belongs, if it is still wanted there.
func (s *Store) putMap(p *Part, tmp string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.entry == nil || p.entry.dir != partialDir {
		return remove(tmp)
	}
	return os.Rename(tmp, s.path(p.entry)+mapSuffix)
}

// retire closes a Part that nobody took up again since its last Close.
func (p *Part) retire() error {
	s := p.store
	s.mu.Lock()
	if p.refs > 0 || !p.shut() {
		s.mu.Unlock()
		return nil
	}
	var gone []trash
	if e := p.entry; e != nil {
		gone = s.leave(p, e)
	}
	s.mu.Unlock()
	s.discard(gone)
	p.await()
	return p.file.Close()
}

// shut ends the use of a Part; false if somebody did already.
func (p *Part) shut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.closed = true
	return true
}

// leave takes a Part off its entry, which may be evicted from now on. With mu held.
func (s *Store) leave(p *Part, e *entry) []trash {
	p.entry = nil
	s.table.update(e, func(e *entry) { e.part, e.used = nil, time.Now() })
	if e.state == Partial && e.held == 0 {
		return []trash{s.drop(e)}
	}
	return s.trim(0)
}

// await returns when the file is no longer read to be hashed.
func (p *Part) await() {
	p.mu.Lock()
	busy := p.hashing
	p.mu.Unlock()
	if busy != nil {
		<-busy
	}
}
