package sync

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Changed has the names listed now, however lately that was done: they were changed past the engine.
func (e *Engine) Changed(ctx context.Context) error {
	if e.o.Offline {
		return nil
	}
	return e.list(ctx, "")
}

// Drop drops the local copy of a blob that is in the bucket, too; the next reader fetches it anew, also while
// the download is kept that brought it.
func (e *Engine) Drop(d digest.Digest) error {
	e.disk.Distrust(d)
	if err := e.disk.Remove(d); err != nil {
		return fmt.Errorf("drop blob %s: %w", d, err)
	}
	e.fetcher.mu.Lock()
	defer e.fetcher.mu.Unlock()
	delete(e.fetcher.open, d) // it ends when its last reader has been gone for a while
	return nil
}
