package fs

import (
	"hash/fnv"
	"sync/atomic"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
)

// inos numbers the nodes of files. A blob has one number in a layout, whichever node stands for it: cp compares
// what it looked up with what it opened.
type inos struct{ gen atomic.Uint64 }

// Numbers of blobs have the bit blobIno, and not the highest one, which tools show as a sign. go-fuse counts the
// other nodes up from 2.
const blobIno = 1 << 62

// of is the number of a node with that name in a folder. Its generation keeps go-fuse from taking two nodes of
// one number for one.
func (x *inos) of(in folder, name string, mode uint32) fusefs.StableAttr {
	attr := fusefs.StableAttr{Mode: mode & syscall.S_IFMT}
	if d, ok := in.target(name); ok {
		h := fnv.New64a()
		_, _ = h.Write([]byte(in.what() + "/" + d.String())) // never fails
		attr.Ino, attr.Gen = h.Sum64()>>2|blobIno, x.gen.Add(1)
	}
	return attr
}
