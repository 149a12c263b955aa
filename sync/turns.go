package sync

import (
	"context"
	"sync"
)

// turns has what is done to one name done one after the other: what was acknowledged last is to be what
// the bucket has last.
type turns struct {
	mu sync.Mutex // guards following; a leaf
	by map[string]*turn
}

type turn struct {
	place chan struct{} // one place
	users int           // who has it and who waits for it
}

// take waits until it is the caller's turn; release ends it.
func (t *turns) take(ctx context.Context, name string) (release func(), err error) {
	t.mu.Lock()
	if t.by == nil {
		t.by = map[string]*turn{}
	}
	if t.by[name] == nil {
		t.by[name] = &turn{place: make(chan struct{}, 1)}
	}
	mine := t.by[name]
	mine.users++
	t.mu.Unlock()
	select {
	case mine.place <- struct{}{}:
		return func() { <-mine.place; t.leave(name, mine) }, nil
	case <-ctx.Done():
		t.leave(name, mine)
		return nil, context.Cause(ctx)
	}
}

func (t *turns) leave(name string, mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine.users--; mine.users == 0 {
		delete(t.by, name)
	}
}
