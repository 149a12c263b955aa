// Package store keeps entries in the order of their keys: in Badger, in Badger in a process of its own, or in memory.
// Package index keeps its records in it.
//
// Badger maps its files to memory, and works on them in goroutines of its own: a page of a damaged file that cannot be
// read there, or that makes no sense, ends the process, and nothing in that process can prevent it. So a daemon has a
// process for it (Start), whose end is an error like any other.
package store

import "errors"

// Entry is a key with its value.
type Entry struct{ Key, Value []byte }

// Change sets an entry, or deletes the key.
type Change struct {
	Entry
	Delete bool
}

// ErrLost says that a store is damaged, or that its process is gone: nothing will be found in it any more.
var ErrLost = errors.New("the index is lost")

// pageSize is how many bytes of keys and values a page has, if no entry alone has more.
const pageSize = 1 << 20
