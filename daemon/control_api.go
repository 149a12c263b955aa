package daemon

import (
	"fmt"

	"github.com/dustin/go-humanize/english"

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
	Staged     sync.Count
	Pending    int    // names
	Mounted    bool   // else the next mount uploads it
	Reason     string // why; or empty
}

func (e *RemainsError) Error() string {
	text := e.Mountpoint + ": " + remainder(e.Staged, e.Pending) + " not in the bucket yet"
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Mounted {
		return text + "; it stays mounted, and uploads go on"
	}
	return text + "; they are kept in the cache directory, and the next mount of the bucket uploads them"
}

// remainder says how much is staged and how many names wait.
func remainder(staged sync.Count, names int) string {
	blobs := fmt.Sprintf("%s (%s)", english.Plural(staged.Blobs, "blob", ""), bytesText(staged.Bytes))
	if names == 0 {
		return blobs
	}
	return blobs + " and " + english.Plural(names, "name", "")
}
