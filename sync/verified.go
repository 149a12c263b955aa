package sync

import (
	"context"
	"errors"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/disk"
)

// local opens the complete local copy of a blob, verified if reads are to be. The error wraps disk.ErrDropped when
// it turned out to be wrong and is dropped: the blob is as one that was never here.
func (e *Engine) local(ctx context.Context, d digest.Digest) (*os.File, error) {
	if !e.o.VerifyReads {
		return e.disk.Open(d)
	}
	f, err := e.disk.OpenVerified(ctx, d)
	if errors.Is(err, disk.ErrDropped) {
		e.guard.report(err)
		e.fetcher.disown(d)
	}
	return f, err
}

// disown has the next reader fetch a blob anew whose download is over and still kept.
func (f *fetcher) disown(d digest.Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if dl := f.open[d]; dl != nil && dl.isVerified() {
		delete(f.open, d) // it ends when its last reader has been gone for a while
	}
}

func (dl *download) isVerified() bool {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	return dl.verified
}
