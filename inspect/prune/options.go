package prune

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/inspect/source"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// Bucket is what is pruned.
type Bucket interface {
	source.Objects
	Remover
}

// Remover is what deletes.
type Remover interface {
	DeleteName(ctx context.Context, name string) error
	DeleteBlob(ctx context.Context, d digest.Digest) error
	ListUploads(ctx context.Context) iter.Seq2[bucket.Upload, error]
	DropUpload(ctx context.Context, u bucket.Upload) error
	Pins(ctx context.Context) (map[string]bool, error)
}

// Options of Run. Names go only by OlderThan, KeepLast and KeepStorage; without any of them all stay.
type Options struct {
	Keep        []string      // patterns of names that stay, as inspect.Fits has them
	OlderThan   time.Duration // names that were written longer ago go; 0: age is no reason
	KeepLast    int           // the newest names stay, so many of those that are not kept otherwise; 0: none for that
	KeepStorage int64         // the oldest names go until what names reach takes no more bytes; 0: size is no reason
	Grace       time.Duration // how long a blob must have been left alone
	DryRun      bool          // delete nothing

	Removed func(Removal)     // is told of everything that goes, one at a time
	Scanned func(blobs int)   // may be nil; told of blobs of the bucket that were looked at
	Log     func(text string) // may be nil; told of what happens besides
	now     func() time.Time  // tests have their own
	pause   func(Removal)     // tests wait here, between the last look and the deletion
}

// Validate reports what is wrong, by the names of the flags.
func (o Options) Validate() error {
	var errs []error
	for _, p := range o.Keep {
		if _, err := path.Match(p, ""); err != nil {
			errs = append(errs, fmt.Errorf("--keep: %q is no pattern: a [ in it is not closed", p))
		}
	}
	for _, low := range []struct {
		flag  string
		value int64
	}{{"older-than", int64(o.OlderThan)}, {"keep-last", int64(o.KeepLast)}, {"keep-storage", o.KeepStorage}, {"grace", int64(o.Grace)}} {
		if low.value < 0 {
			errs = append(errs, fmt.Errorf("--%s must not be negative", low.flag))
		}
	}
	return errors.Join(errs...)
}

// Removal is something that was thrown away, or would be. The JSON names are stable.
type Removal struct {
	Kind   Kind          `json:"kind"`
	Name   string        `json:"name,omitempty"`
	Digest digest.Digest `json:"digest,omitempty"`
	Size   int64         `json:"size"` // bytes; of a name what it alone reaches
	Time   time.Time     `json:"time"` // when it was last written or touched
	Reason string        `json:"reason"`
}

// Kind says what goes.
type Kind string

// The kinds.
const (
	Name   Kind = "name"
	Blob   Kind = "blob"
	Upload Kind = "upload"
	Local  Kind = "local" // a local copy
)

// Report is what came of a run. The JSON names are stable; sizes are in bytes.
type Report struct {
	Names       int   `json:"names"` // that went
	Blobs       int   `json:"blobs"`
	Bytes       int64 `json:"bytes"` // of these blobs
	Uploads     int   `json:"uploads"`
	KeptNames   int   `json:"kept_names"`
	KeptBlobs   int   `json:"kept_blobs"` // that are in the bucket still
	KeptBytes   int64 `json:"kept_bytes"`
	TooYoung    int   `json:"too_young"` // of these, blobs that no name reaches, and that are within the grace period
	DryRun      bool  `json:"dry_run,omitempty"`
	Interrupted bool  `json:"interrupted,omitempty"`
}

// LostError says that a name was written, while prune ran, on blobs that it had deleted.
type LostError struct {
	Name string
	Lost []digest.Digest
}

func (e *LostError) Error() string {
	return fmt.Sprintf("name %q was written while blobs that it needs were pruned: %d of them are gone, %s first; export it again, "+
		"and give a longer --grace: exports must not take longer than it is beyond touch_refresh", e.Name, len(e.Lost), e.Lost[0])
}
