// Package disk keeps blobs on local disk: staged ones that are not in the bucket yet, warm ones that
// are copies of what the bucket has, and partial ones of which some chunks are here.
//
// Invariants: a file in blobs/ or staged/ hashes to its name; a file in staged/ was fsynced, and so
// was its directory entry, before Stage returned; a chunk that the map of a partial blob claims is on
// disk; nothing staged is ever evicted. The files are the truth: Open finds everything again by
// listing them.
//
// Locks: Store.mu guards the table of copies and is held over renames and unlinks, so that a blob is
// never seen to be absent on its way from one folder to another; it is not held while hashing,
// syncing or copying. Part.mu guards a part's map and is taken after Store.mu, never before it.
package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"
)

// State says what a local copy of a blob is.
type State int

// The states of a local copy.
const (
	Absent  State = iota // nothing local
	Partial              // some chunks of the blob, from the bucket
	Warm                 // complete, verified, a copy of what the bucket has
	Staged               // complete, verified, fsynced, not known to be in the bucket
)

func (s State) String() string {
	return [...]string{"absent", "partial", "warm", "staged"}[s]
}

// ErrMismatch says that bytes do not hash to the digest that they were offered under.
var ErrMismatch = errors.New("content does not match its digest")

// Options of Open.
type Options struct {
	CacheSize int64 // bytes that warm and partial blobs may take; 0 means no limit
	MinFree   int64 // bytes of the file system to leave free
	Log       *slog.Logger
}

// Usage is what the cache directory holds now, and what happened since it was opened. In bytes and blobs.
type Usage struct {
	StagedBytes, WarmBytes, PartialBytes int64
	StagedBlobs, WarmBlobs, PartialBlobs int
	Evicted                              int64 // bytes evicted since the start
}

// Info describes the local copy of one blob.
type Info struct {
	Digest digest.Digest
	State  State
	Size   int64     // of the whole blob, in bytes
	Used   time.Time // last use
}

// check refuses a digest that cannot be a file name or cannot be verified.
func check(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d, err)
	}
	return nil
}
