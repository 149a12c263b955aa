package daemon

import (
	"github.com/layoutfs/layoutfs/sync"
)

// The control socket speaks HTTP with JSON bodies:
//
//	GET  /v1/status   -> Status
//	POST /v1/flush    FlushRequest -> Outcome
//	POST /v1/umount   UnmountRequest -> Outcome
//
// What could not be done is an Outcome with an error; the HTTP status is then 409. A request ends when its
// client hangs up.
const (
	statusPath = "/v1/status"
	flushPath  = "/v1/flush"
	umountPath = "/v1/umount"
)

// maxMessage is the longest body of a request, in bytes; answers grow with the number of transfers and names.
const (
	maxMessage = 4 << 10
	maxAnswer  = 64 << 20
)

// FlushRequest asks to wait until nothing is staged.
type FlushRequest struct {
	TimeoutSeconds float64 `json:"timeout_seconds"` // how long; 0: as long as it takes
}

// UnmountRequest asks to drain and to unmount.
type UnmountRequest struct {
	TimeoutSeconds float64 `json:"timeout_seconds"` // how long to wait for uploads; 0: as long as it takes
	Force          bool    `json:"force"`           // unmount even if uploads remain or files are open
}

// Outcome is what became of a request.
type Outcome struct {
	Error   string     `json:"error,omitempty"`
	Staged  sync.Count `json:"staged"`  // what is not in the bucket yet
	Pending int        `json:"pending"` // names that are not published yet
	Mounted bool       `json:"mounted"` // whether the mount is still there
}

// RemainsError says that something acknowledged is not in the bucket yet. It is safe on local disk.
type RemainsError struct {
	Mountpoint string
	Mounted    bool   // else the next mount uploads it
	Reason     string // what remains, and why
}

func (e *RemainsError) Error() string {
	where := "it stays mounted, and uploads go on"
	if !e.Mounted {
		where = "they are kept in the cache directory, and the next mount of the bucket uploads them"
	}
	return e.Mountpoint + ": " + e.Reason + "; " + where
}
