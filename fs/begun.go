package fs

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
)

// quiet is how long nothing is written to a directory until it is taken to be finished.
const quiet = 10 * time.Second

// begun is what is known of a directory that a client makes.
//
// Tools that copy files (cp -r, tar, mv) take it that a directory which they make has nothing in it that they
// did not put there; a blob that another layout has is an error to them. So such a directory shows no blobs of
// the pool but those that were written to it, while the bucket has no names for it and, if they are published
// from here, for a moment after it was written to last. A content store, which has an ingest/, asks for a blob
// so as not to write it again, and sees the pool.
type begun struct {
	mu     sync.Mutex // guards following; a leaf
	own    map[digest.Digest]bool
	last   time.Time // something was written
	joined bool      // another host published there before, so that all of a layout was seen
}

// begin notes that a client makes the directory, end that it deleted its name.
func (b *begun) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.own, b.joined = map[digest.Digest]bool{}, false
}

func (b *begun) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.own = nil
}

// join notes that another host has published there. What was seen for that stays, whatever is published from here.
func (b *begun) join() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.joined = true
}

// isAlone says whether a client made the directory, and no other host has published there before it did.
func (b *begun) isAlone() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.own != nil && !b.joined
}

// wrote notes that a blob is written, or (empty) something else.
func (b *begun) wrote(d digest.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.own == nil {
		return
	}
	if len(b.own) >= maxExported {
		b.own = nil // shows all from now on
		return
	}
	b.own[d], b.last = true, time.Now()
}

// isForeign says whether a client made the directory, and a blob was not written to it.
func (b *begun) isForeign(d digest.Digest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.own != nil && !b.own[d]
}

// isQuiet says whether nothing was written to the directory for a while.
func (b *begun) isQuiet() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.last) >= quiet
}

// hides says whether the layout does not show a blob of the pool because of how it is made.
func (d *layoutDir) hides(ctx context.Context, dg digest.Digest) bool {
	if !d.begun.isForeign(dg) || d.t.lstatIn(d, ingestName, func(*syscall.Stat_t) {}) == nil {
		return false
	}
	if d.isMine() {
		return !d.begun.isQuiet()
	}
	kept, err := d.isKept(ctx)
	return err == nil && !kept
}
