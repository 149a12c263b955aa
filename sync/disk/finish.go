package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Verify hashes a complete part, as far as that was not done when its chunks came. On ErrMismatch the
// partial copy is dropped and can be read no more. Idempotent: after success, again nil.
func (p *Part) Verify(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return fmt.Errorf("verify blob %s: %w", p.digest, context.Cause(ctx))
	}
	done, err := p.verified()
	if !done && err == nil {
		err = p.compare(ctx)
	}
	if err != nil {
		return fmt.Errorf("verify blob %s: %w", p.digest, err)
	}
	return nil
}

// Finish verifies a complete part and turns it into a warm blob. Idempotent. The Part stays open.
//
// The blob is warm at once, but moves to blobs/ in the background, when its bytes are durable: until
// then a crash costs a download, and after it no blob has holes.
func (p *Part) Finish(ctx context.Context) error {
	if err := p.Verify(ctx); err != nil {
		return err
	}
	p.store.accept(p)
	return nil
}

func (p *Part) verified() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done || p.bad != nil {
		return p.done, p.bad
	}
	if p.closed {
		return false, os.ErrClosed
	}
	if !p.complete() {
		return false, fmt.Errorf("%d of %d chunks are %w", p.Chunks()-p.have, p.Chunks(), errAbsent)
	}
	return false, nil
}

func (p *Part) compare(ctx context.Context) error {
	found, err := p.digestOf(ctx)
	if err != nil {
		return err
	}
	if found != p.digest {
		err = p.store.mismatch(p.digest, found, p.size)
		p.store.reject(p, err)
		return err
	}
	p.mu.Lock()
	p.done = true
	p.mu.Unlock()
	return nil
}

// reject drops a Part whose content is wrong.
func (s *Store) reject(p *Part, err error) {
	p.mu.Lock()
	p.bad = err
	p.mu.Unlock()
	s.mu.Lock()
	var gone []trash
	if p.entry != nil {
		gone = append(gone, s.drop(p.entry))
	}
	s.mu.Unlock()
	s.discard(gone)
}

// accept makes a verified Part a warm blob.
func (s *Store) accept(p *Part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := p.entry
	if e == nil || e.complete() {
		return
	}
	s.table.update(e, func(e *entry) { e.state, e.held, e.used = Warm, e.size, time.Now() })
	s.seals.putPath(e, s.path(e))
	s.backgroundLocked(func() { s.settle(e) })
}

// background does a piece of work that writes to the disk, one at a time, unless the Store is closed.
func (s *Store) background(work func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backgroundLocked(work)
}

func (s *Store) backgroundLocked(work func()) {
	if s.closed {
		return
	}
	s.work.Go(func() {
		s.settling <- struct{}{}
		defer func() { <-s.settling }()
		work()
	})
}

// settle makes a finished download durable and moves it to blobs/. If that fails it is dropped: the
// bucket has it.
func (s *Store) settle(e *entry) {
	err := s.syncEntry(e)
	s.mu.Lock()
	var gone []trash
	if s.table.live(e) && e.state == Warm && e.dir == partialDir {
		if err == nil {
			err = s.move(e, warmDir, Warm)
		}
		if err != nil {
			gone = append(gone, s.drop(e))
		}
	}
	s.mu.Unlock()
	s.discard(gone)
	if err != nil {
		s.log.Warn("a finished download could not be kept", "blob", e.digest, "err", err)
	}
}

// syncEntry makes the bytes of an entry durable, if it is still there.
func (s *Store) syncEntry(e *entry) error {
	s.mu.Lock()
	if !s.table.live(e) {
		s.mu.Unlock()
		return nil
	}
	f, err := s.openWhole(e)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	chmod := func() error { return f.Chmod(0o444) }
	return errors.Join(unix.Fdatasync(int(f.Fd())), s.seals.keep(e, f.Name(), f.Name(), chmod), f.Close())
}
