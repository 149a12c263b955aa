package disk

import (
	"errors"
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
	states               // how many there are
)

func (s State) String() string {
	switch s {
	case Absent:
		return "absent"
	case Partial:
		return "partial"
	case Warm:
		return "warm"
	case Staged:
		return "staged"
	}
	return "unknown"
}

// ErrMismatch: the bytes do not hash to the digest they were offered under.
var ErrMismatch = errors.New("content does not match its digest")

// Options of Open.
type Options struct {
	// CacheSize is how many bytes the blobs may take together; 0 means no limit. Warm and partial ones
	// are evicted to stay below it. Staged ones and open parts count too, but are neither evicted nor
	// refused; if they take it all, a tenth of it is still kept of the others.
	CacheSize int64
	// MinFree is how many bytes of the file system are left free: what would go below it fails with
	// ENOSPC when nothing is left to evict.
	MinFree int64
	// OnEvict, if set, is told of every blob that was evicted, except by Open. No lock is held then.
	OnEvict func(d digest.Digest)
	Log     *slog.Logger // nil discards
}

// Usage is what the cache directory holds now.
type Usage struct {
	StagedBytes, WarmBytes, PartialBytes int64
	StagedBlobs, WarmBlobs, PartialBlobs int
	Evicted                              int64 // bytes evicted since start
	Mismatches                           int64 // contents refused since start, see ErrMismatch
	Rotten                               int64 // local copies that OpenVerified found wrong or unreadable since start
}

// Info describes the local copy of one blob.
type Info struct {
	Digest digest.Digest
	State  State
	Size   int64     // of the blob, in bytes
	Used   time.Time // last use
}
