package fs

import (
	"context"
	"sync"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
)

// homes holds the node of each scratch file and directory that was looked up, by where it is. go-fuse's own
// tree does not tell for sure: a lookup that is overtaken by a rename puts the older node back there, and
// a second node of one file would have a second gate. A node stays for as long as its file does.
type homes struct {
	mu sync.Mutex // guards following; before the locks of go-fuse
	at map[home]fusefs.InodeEmbedder
}

// home is a name in a directory of scratch, or in one that only the mount has: of these there may be one
// node after another, so they are told by their path.
type home struct {
	dir  *scratchDir
	path string
	name string
}

func homeOf(in folder, name string) home {
	if dir, ok := in.(*scratchDir); ok {
		return home{dir: dir, name: name}
	}
	return home{path: in.local(), name: name}
}

// of returns the node of a name, or nil. tree.moves is held.
func (x *homes) of(in folder, name string) fusefs.InodeEmbedder {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.at[homeOf(in, name)]
}

// inode returns the node of a name for go-fuse, after making it if there is none. tree.moves is held.
func (x *homes) inode(ctx context.Context, in folder, name string, attr fusefs.StableAttr, create func() fusefs.InodeEmbedder) *fusefs.Inode {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := homeOf(in, name)
	n, ok := x.at[h]
	if !ok {
		n = create()
		x.at[h] = n
	}
	return in.EmbeddedInode().NewInode(ctx, n, attr)
}

// put makes n the node of a name where there was nothing. tree.moves is held.
func (x *homes) put(ctx context.Context, in folder, name string, attr fusefs.StableAttr, n fusefs.InodeEmbedder) *fusefs.Inode {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.at[homeOf(in, name)] = n
	return in.EmbeddedInode().NewInode(ctx, n, attr)
}

// leave notes that nothing is at a place any more. tree.moves is held.
func (x *homes) leave(p *place) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.at, homeOf(p.in, p.name))
}

// move notes that what was at a place is elsewhere now. tree.moves is held exclusively.
func (x *homes) move(p *place, in folder, name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	from := homeOf(p.in, p.name)
	if n, ok := x.at[from]; ok {
		delete(x.at, from)
		x.at[homeOf(in, name)] = n
	}
	p.in, p.name = in, name
}

// placeOf is where a node of scratch is.
func placeOf(n fusefs.InodeEmbedder) *place {
	switch n := n.(type) {
	case *file:
		return &n.at
	case *scratchDir:
		return &n.at
	case *symlink:
		return &n.at
	}
	return nil
}
