package fs

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// Bytes change while a gate is open, and never while it is closed.
func TestGateKeepsWritersOut(t *testing.T) {
	var g gate
	var content, judged, failed atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				inside, err := g.enter(t.Context())
				if err != nil || !inside {
					return
				}
				content.Add(1)
				g.leave()
			}
		})
		group.Go(func() {
			for {
				done, err := g.commit(t.Context(), func(context.Context) error {
					before := content.Load()
					for range 1000 {
						if content.Load() != before {
							t.Error("it changed while it was committed")
						}
					}
					judged.Store(before)
					if failed.Add(1) < 50 {
						return errors.New("not yet")
					}
					return nil
				})
				if err == nil {
					if !done && g.now() != committed {
						t.Error("there is nothing left to commit, but it is not committed")
					}
					return
				}
			}
		})
	}
	group.Wait()
	if content.Load() != judged.Load() {
		t.Errorf("%d was committed, and it is %d", judged.Load(), content.Load())
	}
}

func TestGateIsWaitedForUntilOneIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		goOn := make(chan struct{})
		go func() {
			_, err := g.commit(t.Context(), func(context.Context) error { <-goOn; return errors.New("it fails") })
			if err == nil {
				t.Error("a commit that fails succeeds")
			}
		}()
		synctest.Wait()
		ctx, interrupt := context.WithCancel(t.Context())
		var interrupted, patient atomic.Int64
		wait := func(ctx context.Context, ended *atomic.Int64, want error) {
			if inside, err := g.enter(ctx); inside {
				g.leave()
			} else if !errors.Is(err, want) {
				t.Errorf("enter: %v; want %v", err, want)
			}
			ended.Add(1)
		}
		go wait(ctx, &interrupted, context.Canceled)
		go wait(t.Context(), &patient, nil)
		synctest.Wait()
		if interrupted.Load() != 0 || patient.Load() != 0 {
			t.Error("nobody waits")
		}
		interrupt()
		synctest.Wait()
		if interrupted.Load() != 1 || patient.Load() != 0 {
			t.Error("the wrong one was interrupted")
		}
		close(goOn)
		synctest.Wait()
		if patient.Load() != 1 || g.now() != open {
			t.Error("a failed commit does not let writers in again")
		}
	})
}

// A commit does not stop when its client is interrupted, and a panic does not lock the file.
func TestCommitThatIsInterruptedOrPanics(t *testing.T) {
	var g gate
	ctx, interrupt := context.WithCancel(t.Context())
	func() {
		defer func() { _ = recover() }()
		_, _ = g.commit(ctx, func(context.Context) error { panic("in a commit") })
	}()
	if g.now() != open {
		t.Error("a panic locks the file")
	}
	done, err := g.commit(ctx, func(ctx context.Context) error {
		interrupt()
		return ctx.Err()
	})
	if !done || err != nil || g.now() != committed {
		t.Errorf("the commit is interrupted: %t, %v", done, err)
	}
	if done, err := g.commit(t.Context(), nil); done || err != nil {
		t.Errorf("a second commit: %t, %v", done, err)
	}
}
