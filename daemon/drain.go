package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	reportEvery = 5 * time.Second // of the drain's progress, in the log
	retryAfter  = time.Second     // when an upload fails while there is time left
)

// drain returns when nothing is staged and nothing waits for publication. An upload that fails is tried
// again until ctx ends; the error then says what failed last, and what ended the wait.
func (d *Daemon) drain(ctx context.Context) error {
	stop := d.reportDrain()
	defer stop()
	var failed error
	for {
		err := d.engine.Flush(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || failed == nil {
			failed = err
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(failed, cause) {
				return fmt.Errorf("%w: %w", failed, cause)
			}
			return failed
		case <-time.After(retryAfter):
			d.log.Warn("an upload failed and is tried again", "err", err)
		}
	}
}

// reportDrain logs the progress of a drain that takes long, until it is stopped.
func (d *Daemon) reportDrain() (stop func()) {
	ticker := time.NewTicker(reportEvery)
	done := make(chan struct{})
	go func() {
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				s := d.engine.Status()
				d.log.Info("draining", "staged", remainder(s.Staged, s.Pending), "uploading", len(s.Uploading))
			}
		}
	}()
	return func() { close(done) }
}

// forever is what fits a time.Duration, roughly.
const forever = 100 * 365 * 24 * time.Hour

// within is ctx with an end if seconds is not 0, and an error that says so.
func within(ctx context.Context, seconds float64) (context.Context, context.CancelFunc) {
	if seconds <= 0 {
		return context.WithCancel(ctx)
	}
	d := time.Duration(min(seconds, forever.Seconds()) * float64(time.Second))
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not done within %s", d))
}

var errBusy = errors.New("it is in use: end what has files or its working directory there, or use --force")
