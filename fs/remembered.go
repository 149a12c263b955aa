package fs

import (
	"container/list"
	"context"
	"sync"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
)

// maxRemembered is how many blobs the kernel may remember, and how many layouts. A blob costs about a kilobyte here,
// a layout with its entries three and its index.json.
const maxRemembered = 10_000

// remembered holds the nodes of the blobs that clients have looked up, or of the layouts. The kernel keeps what it was
// told for as long as the machine has memory, and a node is kept for as long as the kernel may come back to it: so it
// is asked to forget those that were looked up longest ago; a layout with all that is in it, and after what was looked
// up there. Who has one open goes on with it. But a directory that is in use has no name until it is looked up again
// (getcwd fails), and what is mounted on it is unmounted: so layouts do not make way for blobs, of which there are
// more. Scratch is not counted: its nodes stay with its files (homes.go).
type remembered struct {
	max  int
	many chan struct{} // there are too many; holds one

	mu     sync.Mutex // guards following; a leaf
	recent list.List  // of *fusefs.Inode; in front is what was looked up last
	at     map[*fusefs.Inode]*list.Element
}

func newRemembered(most int) *remembered {
	return &remembered{max: most, many: make(chan struct{}, 1), at: map[*fusefs.Inode]*list.Element{}}
}

// add notes that a node was looked up.
func (x *remembered) add(n *fusefs.Inode) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e, ok := x.at[n]; ok {
		x.recent.MoveToFront(e)
		return
	}
	x.at[n] = x.recent.PushFront(n)
	if x.recent.Len() > x.max {
		select {
		case x.many <- struct{}{}:
		default:
		}
	}
}

func (x *remembered) remove(n *fusefs.Inode) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e, ok := x.at[n]; ok {
		x.recent.Remove(e)
		delete(x.at, n)
	}
}

// excess takes out what was looked up longest ago, if there are too many.
func (x *remembered) excess() *fusefs.Inode {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.recent.Len() <= x.max {
		return nil
	}
	n := x.recent.Remove(x.recent.Back()).(*fusefs.Inode)
	delete(x.at, n)
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

// used notes that something was looked up in the layout: it is forgotten after that, and so are those it is in.
func (d *layoutDir) used() {
	for dir := &d.Inode; dir != nil && !dir.IsRoot(); _, dir = dir.Parent() {
		d.t.layoutNodes.add(dir)
	}
}

var (
	_ fusefs.NodeOnForgetter = (*file)(nil)
	_ fusefs.NodeOnForgetter = (*layoutDir)(nil)
)

// OnForget is called when the kernel does not know the file any more.
func (n *file) OnForget() { n.t.blobNodes.remove(&n.Inode) }

// OnForget is called when the kernel does not know the directory any more, nor anything in it.
func (d *layoutDir) OnForget() { d.t.layoutNodes.remove(&d.Inode) }
