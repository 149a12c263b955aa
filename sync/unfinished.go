package sync

import (
	"context"
	"errors"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// dropUnfinished drops, in the background, the parts of uploads that an earlier process was killed in. What the bucket
// does not answer to is tried again when it does.
func (e *Engine) dropUnfinished() {
	from, ok := e.o.Blobs.(UnfinishedBucket)
	if !ok || e.o.ReadOnly {
		return
	}
	e.background.run(func() {
		_, err := hastily(e.ctx, e.guard, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, from.DropUnfinished(ctx)
		})
		if err != nil && !errors.Is(err, bucket.ErrUnreachable) && e.ctx.Err() == nil {
			e.log.Warn("parts of uploads that were cut off are left in the bucket for now", "err", err)
		}
	})
}
