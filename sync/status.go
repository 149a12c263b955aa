package sync

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Status is a report on a running engine. Sizes are in bytes.
type Status struct {
	Names  int               `json:"names"`            // known in the bucket
	Broken map[string]string `json:"broken,omitempty"` // names of which something cannot be shown, and why
	// Unreadable are those of Broken whose objects cannot be understood: what is known of them is of an earlier time.
	Unreadable map[string]string `json:"-"`
	Large      map[string]string `json:"large,omitempty"` // names that BuildKit's type=local cannot import, and why
	Staged     Count             `json:"staged"`
	Warm       Count             `json:"warm"`
	Partial    Count             `json:"partial"`
	Pending    int               `json:"pending"` // names that wait for publication (write back)

	Uploading   []Transfer `json:"uploading"`
	Downloading []Transfer `json:"downloading"`

	Counters  Counters `json:"counters"`
	BucketUp  bool     `json:"bucket_up"` // the last request got an answer
	LastError *Failure `json:"last_error,omitempty"`
}

// Count is a number of blobs and their bytes.
type Count struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

// Transfer is one blob in flight.
type Transfer struct {
	Digest digest.Digest `json:"digest"`
	Done   int64         `json:"done"`
	Size   int64         `json:"size"`
}

// Counters count since the start of the daemon.
type Counters struct {
	FetchedBytes  int64 `json:"fetched_bytes"`
	UploadedBytes int64 `json:"uploaded_bytes"`
	FetchedBlobs  int64 `json:"fetched_blobs"` // that became warm
	UploadedBlobs int64 `json:"uploaded_blobs"`
	Requests      int64 `json:"requests"` // to the bucket
	Published     int64 `json:"published"`
	Mismatches    int64 `json:"mismatches"` // blobs whose bytes did not match their digest
	Evicted       int64 `json:"evicted_bytes"`
	Errors        int64 `json:"errors"`
}

// Failure is the last thing that went wrong.
type Failure struct {
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}
