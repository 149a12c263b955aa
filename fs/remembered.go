package fs

import (
	"container/list"
	"context"
	"sync"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
)

// maxRemembered is how many blobs the kernel may remember. Each costs about a kilobyte here.
const maxRemembered = 10_000

// remembered holds the nodes of the blobs that clients have looked up. The kernel keeps what it was told for as
// long as the machine has memory, and a node is kept for as long as the kernel may come back to it: so it is asked
// to forget those that were looked up longest ago. Who has one open goes on with it.
type remembered struct {
	max  int
	many chan struct{} // there are too many; holds one

	mu     sync.Mutex // guards following, and the files' recent; a leaf
	recent list.List  // of *file; in front is what was looked up last
}

func newRemembered(most int) *remembered {
	return &remembered{max: most, many: make(chan struct{}, 1)}
}

// add notes that a node was looked up.
func (x *remembered) add(n *file) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n.recent != nil {
		x.recent.MoveToFront(n.recent)
		return
	}
	n.recent = x.recent.PushFront(n)
	if x.recent.Len() > x.max {
		select {
		case x.many <- struct{}{}:
		default:
		}
	}
}

func (x *remembered) remove(n *file) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n.recent != nil {
		x.recent.Remove(n.recent)
		n.recent = nil
	}
}

// excess takes out what was looked up longest ago, if there are too many.
func (x *remembered) excess() *file {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.recent.Len() <= x.max {
		return nil
	}
	n := x.recent.Remove(x.recent.Back()).(*file)
	n.recent = nil
	return n
}

// trim asks the kernel to forget, for as long as the mount is there. The kernel takes a lock of the directory for
// it that a request may hold, so this waits for requests, and none may wait for this.
func (x *remembered) trim(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.many:
		}
		for n := x.excess(); n != nil && ctx.Err() == nil; n = x.excess() {
			if name, dir := n.Parent(); dir != nil {
				_ = dir.NotifyEntry(name) // fails if the kernel has forgotten it by itself
			}
		}
	}
}

var _ fusefs.NodeOnForgetter = (*file)(nil)

// OnForget is called when the kernel does not know the file any more.
func (n *file) OnForget() { n.t.remembered.remove(n) }
