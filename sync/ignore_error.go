package sync

import (
	"errors"
	iofs "io/fs"

	"github.com/layoutfs/layoutfs/sync/disk"
)

// ignores says whether the client is not to be told of a failure of the bucket (ignore-error=true): what it
// wrote is kept as under write back, and tried again. A blob that is wrong, or nowhere, no retry mends.
func (e *Engine) ignores(err error) bool {
	if err == nil || !e.o.IgnoreError || e.ctx.Err() != nil || errors.Is(err, disk.ErrMismatch) || errors.Is(err, iofs.ErrNotExist) {
		return false
	}
	e.guard.report(err)
	e.log.Warn("an export goes on although the bucket has not all of it, because of ignore-error=true; it will be tried again", "err", err)
	return true
}
