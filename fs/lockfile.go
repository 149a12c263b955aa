package fs

import (
	"sync/atomic"
	"time"
)

const (
	// lockFile is what BuildKit locks around an update of index.json.
	lockFile = indexFile + ".lock"
	// lockWait is how long an open of it waits for its turn.
	lockWait = 5 * time.Second
)

// queue has the opens of the lock file of a layout follow one another. BuildKit takes the lock without
// waiting and fails a build whose export ends while another one updates index.json, which here takes as
// long as a request to the bucket. That an open may take its time it does not notice. Who locks is not
// seen here, only who has the file open; so an open waits for a bounded time and is then let in all the
// same.
type queue struct {
	turn    chan struct{} // one place
	waiting atomic.Int32
}

func newQueue() *queue { return &queue{turn: make(chan struct{}, 1)} }

// take waits for the caller's turn; end ends it.
func (q *queue) take(limit time.Duration) (end func()) {
	q.waiting.Add(1)
	defer q.waiting.Add(-1)
	select {
	case q.turn <- struct{}{}:
		return func() { <-q.turn }
	case <-time.After(limit):
		return func() {}
	}
}

// queueOf is the queue for a file in a folder, or nil.
func queueOf(in folder, name string) *queue {
	if l, ok := in.(*layoutDir); ok && name == lockFile {
		return l.index.queue
	}
	return nil
}

// turn is taken before scratch is opened or made, and ended when it is closed.
func (t *tree) turn(in folder, name string) (end func()) {
	if q := queueOf(in, name); q != nil {
		return q.take(t.lockWait)
	}
	return func() {}
}

// isWanted says whether a file that is to be removed stays: who has locked the file removes it when he has
// done, and for who waits to open it that is as if another one had made it again.
func isWanted(in folder, name string) bool {
	q := queueOf(in, name)
	return q != nil && q.waiting.Load() > 0
}
