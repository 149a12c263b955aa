package fs

import (
	"context"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/opencontainers/go-digest"
)

// maxTurns bounds how many opens are on their second try, as far as is known: a client that is killed
// between the two has no second.
const maxTurns = 1024

// turns are the opens of blobs for writing that are on their second try. One needs a node of its own,
// which a lookup cannot know. So the first open is answered with ESTALE, which makes Linux look the name up
// again, once, in the same thread; that lookup gives it such a node.
type turns struct {
	mu sync.Mutex // guards following; a leaf
	of map[turn]bool
}

// turn is a thread and what it opens.
type turn struct {
	thread uint32
	digest digest.Digest
}

func turnOf(ctx context.Context, d digest.Digest) turn {
	if caller, ok := fuse.FromContext(ctx); ok {
		return turn{caller.Pid, d}
	}
	return turn{0, d}
}

// begin notes the first try.
func (x *turns) begin(ctx context.Context, d digest.Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.of) >= maxTurns {
		clear(x.of)
	}
	x.of[turnOf(ctx, d)] = true
}

// isSecond says whether a lookup belongs to a second try.
func (x *turns) isSecond(ctx context.Context, d digest.Digest) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.of[turnOf(ctx, d)]
}

// end notes the second try.
func (x *turns) end(ctx context.Context, d digest.Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.of, turnOf(ctx, d))
}
