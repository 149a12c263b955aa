package sync

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// outageGuard is a guard before a bucket that is down, until up is called.
func outageGuard(t *testing.T, b *memBucket) (g *guard, up func()) {
	t.Helper()
	b.failing(down)
	ctx, cancel := context.WithCancel(t.Context())
	g = newGuard(ctx, Options{Blobs: b, Names: b, Patience: DefaultPatience}, func() {})
	t.Cleanup(func() { cancel(); g.watch.close() })
	return g, func() { b.failing(nil) }
}

func TestRequestsWaitForTheEndOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemBucket()
		d := b.put([]byte("there"))
		g, up := outageGuard(t, b)
		time.AfterFunc(DefaultPatience/2, up)
		if _, err := g.StatBlob(t.Context(), d); err != nil {
			t.Error(err)
		}
	})
}

// TestABusyServerIsAnOutage: a proxy answers for one that is restarted.
func TestABusyServerIsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemBucket()
		d := b.put([]byte("there"))
		g, up := outageGuard(t, b)
		b.failing(func(context.Context, string, string) error { return fmt.Errorf("503: %w", bucket.ErrBusy) })
		time.AfterFunc(DefaultPatience/2, up)
		if _, err := g.StatBlob(t.Context(), d); err != nil {
			t.Error(err)
		}
	})
}

func TestAnOutageIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := outageGuard(t, newMemBucket())
		began := time.Now()
		for range 10 {
			if _, err := g.StatBlob(t.Context(), nothing); !errors.Is(err, errDown) {
				t.Errorf("request in an outage: %v", err)
			}
		}
		if took := time.Since(began); took != DefaultPatience {
			t.Errorf("ten requests waited %s", took)
		}
		if up, last := g.state(); up || last == nil {
			t.Errorf("up: %v, last failure: %v", up, last)
		}
	})
}

func TestListingsDoNotWaitForTheEndOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := outageGuard(t, newMemBucket())
		began := time.Now()
		for range 2 {
			for _, err := range g.ListNames(t.Context(), "") {
				if !errors.Is(err, errDown) {
					t.Errorf("listing in an outage: %v", err)
				}
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("listings waited %s", took)
		}
	})
}

func TestInAnOutageOneRequestAsksForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemBucket()
		g, up := outageGuard(t, b)
		for range 20 {
			go func() { _, _ = g.StatBlob(t.Context(), nothing) }()
		}
		time.Sleep(10 * time.Second)
		if n := b.count("stat"); n > 20+11 {
			t.Errorf("%d requests in 10 s", n)
		}
		up()
		time.Sleep(probeEvery)
		synctest.Wait()
		if ok, _ := g.state(); !ok {
			t.Error("the end of the outage was not noticed")
		}
	})
}

func TestAnAnswerEndsAnOutageWhateverItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemBucket()
		g, up := outageGuard(t, b)
		_ = g.watch.seen(t.Context(), errDown)
		up()
		if _, err := g.StatBlob(t.Context(), digest.FromString("absent")); !errors.Is(err, iofs.ErrNotExist) {
			t.Errorf("a blob that is not there: %v", err)
		}
		if ok, _ := g.state(); !ok {
			t.Error("the bucket counts as down")
		}
	})
}

func TestACallerThatGaveUpSaysNothingOfTheBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemBucket()
		g, up := outageGuard(t, b)
		up()
		b.failing(func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := g.StatBlob(ctx, nothing); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if ok, _ := g.state(); !ok {
			t.Error("the bucket counts as down")
		}
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.GetNameUpTo(late, "x", bucket.MaxNameSize); err == nil {
			t.Error("an answer without one")
		}
		if ok, _ := g.state(); ok {
			t.Error("a bucket that lets a deadline pass counts as up")
		}
	})
}

// TestADeadlineThatPassesAmongAnswersIsNoOutage: thousands of names may be more than can be read in its time.
func TestADeadlineThatPassesAmongAnswersIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemBucket()
		g, up := outageGuard(t, b)
		up()
		b.failing(func(ctx context.Context, verb, _ string) error {
			if verb == "getname" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		late, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		time.AfterFunc(10*time.Second-probeEvery/2, func() {
			if _, err := g.StatBlob(t.Context(), nothing); !errors.Is(err, iofs.ErrNotExist) {
				t.Error(err)
			}
		})
		if _, err := g.GetNameUpTo(late, "x", bucket.MaxNameSize); !errors.Is(err, bucket.ErrUnreachable) {
			t.Error(err)
		}
		if ok, _ := g.state(); !ok {
			t.Error("the bucket counts as down")
		}
	})
}
