package fs

import (
	"context"
	"sync"
)

// phase is what the content of a file is.
type phase int

const (
	open       phase = iota // scratch: bytes may change
	committing              // scratch that is being made a blob
	committed               // a blob
)

// gate keeps the bytes of a file from changing while it is made a blob, and afterwards. Writers pass
// it with enter and leave; a commit closes it, which waits for the writers that are inside, and
// opens it again if it fails. Writers that come meanwhile wait for how it ends.
type gate struct {
	inside sync.RWMutex // held shared by writers, exclusively to close

	mu    sync.Mutex // guards following
	phase phase
	ended chan struct{} // closed when the commit under way has ended
}

// enter lets a writer in; it must leave. It answers false where bytes can no longer change.
func (g *gate) enter(ctx context.Context) (bool, error) {
	for {
		g.inside.RLock()
		if g.now() == open {
			return true, nil
		}
		g.inside.RUnlock()
		if p, err := g.wait(ctx); err != nil || p == committed {
			return false, err
		}
	}
}

func (g *gate) leave() { g.inside.RUnlock() }

// close starts a commit; it must end with finish. It answers false where there is nothing left to
// commit.
func (g *gate) close(ctx context.Context) (bool, error) {
	for {
		p, err := g.wait(ctx)
		if err != nil || p == committed {
			return false, err
		}
		if g.tryClose() {
			return true, nil
		}
	}
}

func (g *gate) tryClose() bool {
	g.inside.Lock()
	defer g.inside.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase != open {
		return false
	}
	g.phase, g.ended = committing, make(chan struct{})
	return true
}

// finish ends the commit.
func (g *gate) finish(ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.phase = open
	if ok {
		g.phase = committed
	}
	close(g.ended)
}

// now returns the phase at this moment.
func (g *gate) now() phase {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.phase
}

// wait returns the phase when no commit is under way.
func (g *gate) wait(ctx context.Context) (phase, error) {
	for {
		g.mu.Lock()
		p, ended := g.phase, g.ended
		g.mu.Unlock()
		if p != committing {
			return p, nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
}

// commit hands the content over with the gate closed. It goes on when the client is interrupted, which
// a Go program is all the time. It answers false where there was nothing left to commit. A panic opens
// the gate, too: it ends one request, and not the file.
func (g *gate) commit(ctx context.Context, handOver func(context.Context) error) (bool, error) {
	closed, err := g.close(ctx)
	if err != nil || !closed {
		return false, err
	}
	ok := false
	defer func() { g.finish(ok) }()
	err = handOver(context.WithoutCancel(ctx))
	ok = err == nil
	return true, err
}
