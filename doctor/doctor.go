// Package doctor finds out whether a machine, a cache directory and a bucket are fit for a mount, and says
// what to do where they are not. It tries things rather than ask for versions: it mounts a file system in a
// temporary folder, writes to the disk, and makes the requests that a mount makes. It leaves nothing behind.
package doctor

import (
	"context"
	"iter"
	"log/slog"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// Result of an examination.
type Result string

// The results.
const (
	OK   Result = "ok"
	Warn Result = "warn" // it works, but something is lost
	Fail Result = "fail" // a mount would not work
)

// Finding is the result of one examination. The JSON names are stable.
type Finding struct {
	Area   string `json:"area"` // machine, disk, bucket, permission or server
	What   string `json:"what"`
	Result Result `json:"result"`
	Says   string `json:"says,omitempty"` // what was found
	Do     string `json:"do,omitempty"`   // what to do about it
}

// Options of Examine.
type Options struct {
	Bucket     *bucket.Config                  // nil: no bucket is examined
	CacheDir   string                          // empty: no disk is examined
	MinFree    func(dir string) (int64, error) // bytes that are to be left free of the file system of a folder
	AllowOther bool
	ReadOnly   bool
	Log        *slog.Logger
}

// Examine examines one thing after the other, and gives out each finding as it is made.
func Examine(ctx context.Context, o Options) iter.Seq[Finding] {
	return func(yield func(Finding) bool) {
		for _, part := range []func(context.Context, Options, func(Finding) bool) bool{machine, cacheDir, theBucket} {
			if !part(ctx, o, yield) {
				return
			}
		}
	}
}

// judged is a finding that is good unless there is an error.
func judged(area, what string, err error, do string) Finding {
	f := Finding{Area: area, What: what, Result: OK}
	if err != nil {
		f.Result, f.Says, f.Do = Fail, err.Error(), do
	}
	return f
}
