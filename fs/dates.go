package fs

import (
	"cmp"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// maxDated is of how many blobs the times are kept.
const maxDated = 10_000

// dates are the times of the blobs that were written here last. containerd reads from them when content was
// created, and when its labels changed. They are not kept with the nodes: the kernel forgets those when it
// likes.
type dates struct {
	mu   sync.Mutex // guards following; a leaf
	of   map[digest.Digest]times
	ring [maxDated]digest.Digest // in the order in which they were written
	next int
}

// begin dates a blob that is written now.
func (x *dates) begin(d digest.Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, known := x.of[d]; !known {
		delete(x.of, x.ring[x.next])
		x.ring[x.next] = d
		x.next = (x.next + 1) % maxDated
	}
	now := time.Now()
	x.of[d] = times{access: now, mod: now}
}

// change sets the times of a blob that was written here.
func (x *dates) change(d digest.Digest, given times) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if was, known := x.of[d]; known {
		x.of[d] = times{access: cmp.Or(given.access, was.access), mod: cmp.Or(given.mod, was.mod)}
	}
}

// tell returns the times of a blob.
func (x *dates) tell(d digest.Digest) times {
	x.mu.Lock()
	defer x.mu.Unlock()
	if at, known := x.of[d]; known {
		return at
	}
	return times{access: blobTime, mod: blobTime}
}
