package prune

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/inspect"
)

// Disk is local disk: of a mount, or a cache directory.
type Disk interface {
	LocalBlobs(ctx context.Context) iter.Seq2[inspect.Blob, error]
}

// LocalOptions of RunLocal. Without any rule every local copy goes that the bucket has too.
type LocalOptions struct {
	OlderThan   time.Duration // copies that were used longer ago go; 0: age is no reason
	KeepStorage int64         // the copies that were not used for longest go until no more bytes are left; 0: none
	DryRun      bool
	Drop        func(ctx context.Context, d digest.Digest) error
	Removed     func(Removal)
}

// RunLocal drops local copies. What is not in the bucket yet stays.
func RunLocal(ctx context.Context, disk Disk, o LocalOptions) (Report, error) {
	report := Report{DryRun: o.DryRun}
	var copies []inspect.Blob
	var held int64
	for b, err := range disk.LocalBlobs(ctx) {
		if err != nil {
			return report, err
		}
		report.KeptBlobs++
		held += b.Size
		if b.In&inspect.Staged == 0 {
			copies = append(copies, b)
		}
	}
	slices.SortFunc(copies, func(a, b inspect.Blob) int { return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.Digest, b.Digest)) })
	report.KeptBytes = held
	for _, b := range copies {
		reason := o.reason(b, report.KeptBytes)
		if reason == "" {
			continue
		}
		if !o.DryRun {
			if err := o.Drop(ctx, b.Digest); err != nil {
				return report, err
			}
		}
		report.KeptBlobs--
		report.KeptBytes -= b.Size
		report.Blobs++
		report.Bytes += b.Size
		o.Removed(Removal{Kind: Local, Digest: b.Digest, Size: b.Size, Time: b.Used, Reason: reason})
	}
	return report, nil
}

// reason says why a copy goes; empty if it stays. held is what there is yet.
func (o LocalOptions) reason(b inspect.Blob, held int64) string {
	switch {
	case o.OlderThan > 0 && time.Since(b.Used) > o.OlderThan:
		return "not used for --older-than " + o.OlderThan.String()
	case o.KeepStorage > 0 && held > o.KeepStorage:
		return "not used for longest, --keep-storage"
	case o.OlderThan == 0 && o.KeepStorage == 0:
		return "a copy of what the bucket has"
	}
	return ""
}
