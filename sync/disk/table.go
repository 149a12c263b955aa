package disk

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// entry is the local copy of one blob. It is changed through table.update only, and never comes back
// to a table that it left: an entry that is still in its table is still the same file.
type entry struct {
	digest digest.Digest
	state  State
	dir    string // the folder its file is in; a warm blob stays in partial/ until it is durable
	size   int64  // of the blob
	held   int64  // bytes it takes on disk
	used   time.Time
	noted  time.Time // the last use that the file's times tell
	part   *Part     // open, or nil
	at     int       // position in the lru, -1 if it is not in
}

func (e *entry) complete() bool { return e.state == Warm || e.state == Staged }

// evictable is what may go to make room. An open part stays: removing it would free nothing.
func (e *entry) evictable() bool { return e.state != Staged && e.part == nil }

type total struct {
	bytes int64
	blobs int
}

// table is what the directory holds, with totals and order of use. It knows no locks.
type table struct {
	entries map[digest.Digest]*entry
	totals  [states]total
	lru     lru
	idle    int64 // bytes that are evictable
}

func (t *table) get(d digest.Digest) *entry { return t.entries[d] }

// live says whether e is still in the table.
func (t *table) live(e *entry) bool { return t.entries[e.digest] == e }

// bytes is what all blobs take.
func (t *table) bytes() int64 {
	return t.totals[Staged].bytes + t.totals[Warm].bytes + t.totals[Partial].bytes
}

func (t *table) add(e *entry) {
	t.entries[e.digest] = e
	t.count(e)
}

func (t *table) remove(e *entry) {
	delete(t.entries, e.digest)
	t.uncount(e)
}

// update changes an entry and keeps totals and order right.
func (t *table) update(e *entry, change func(*entry)) {
	t.uncount(e)
	change(e)
	t.count(e)
}

func (t *table) count(e *entry) {
	t.totals[e.state].bytes += e.held
	t.totals[e.state].blobs++
	e.at = -1
	if e.evictable() {
		t.idle += e.held
		t.lru.add(e)
	}
}

func (t *table) uncount(e *entry) {
	t.totals[e.state].bytes -= e.held
	t.totals[e.state].blobs--
	if e.evictable() {
		t.idle -= e.held
		t.lru.remove(e)
	}
}
