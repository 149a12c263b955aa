package sync

import (
	"context"
	"fmt"
	"sync"
)

// background is what goes on with no client waiting for it.
type background struct {
	wg sync.WaitGroup

	mu      sync.Mutex // guards following; a leaf
	closed  bool
	errands int
	idle    chan struct{} // closed when there are no errands any more; nil if there are none
}

// run begins f, unless it is over.
func (b *background) run(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.wg.Go(f)
	}
}

// send begins f as an errand, which await waits for.
func (b *background) send(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if b.errands++; b.errands == 1 {
		b.idle = make(chan struct{})
	}
	b.wg.Go(func() {
		defer b.done()
		f()
	})
}

func (b *background) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.errands--; b.errands == 0 {
		close(b.idle)
		b.idle = nil
	}
}

// await returns when there are no errands.
func (b *background) await(ctx context.Context) error {
	b.mu.Lock()
	idle := b.idle
	b.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for old blobs to be touched: %w", context.Cause(ctx))
	}
}

// close waits for all of them.
func (b *background) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.wg.Wait()
}
