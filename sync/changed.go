package sync

import "context"

// Changed has the names listed now, however lately that was done: they were changed past the engine.
func (e *Engine) Changed(ctx context.Context) error {
	if e.o.Offline {
		return nil
	}
	return e.list(ctx, "")
}
