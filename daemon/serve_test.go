package daemon

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func wantRemains(t *testing.T, err error, parts ...string) {
	t.Helper()
	remains, ok := errors.AsType[*RemainsError](err)
	if !ok {
		t.Fatalf("the error is %v, want a RemainsError", err)
	}
	for _, part := range parts {
		if !strings.Contains(remains.Error(), part) {
			t.Errorf("the error %q does not say %q", remains, part)
		}
	}
}

func TestSignalDrainsThenUnmounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(3), nil)
		r.signals <- syscall.SIGTERM
		synctest.Wait()
		if isClosed(r.mount.gone) {
			t.Error("it was unmounted before the uploads were done")
		}
		time.Sleep(12 * time.Second)
		r.engine.upload()
		if err := <-r.ended; err != nil {
			t.Errorf("after a drain: %v", err)
		}
		if !isClosed(r.mount.gone) || r.closed != 1 {
			t.Errorf("unmounted: %v; parts ended: %d, want 1", isClosed(r.mount.gone), r.closed)
		}
	})
}

func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r := serve(t, newFakeEngine(2), nil)
		r.signals <- syscall.SIGTERM
		wantRemains(t, <-r.ended, "2 blobs (2.0 MiB)", "not done within the --drain-timeout of 1m0s", "kept in the cache directory")
		if took := time.Since(begin); took != r.config.DrainTimeout {
			t.Errorf("it took %s, want %s", took, r.config.DrainTimeout)
		}
		if !isClosed(r.mount.gone) {
			t.Error("it is still mounted")
		}
	})
}

func TestDrainTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEngine(1)
		e.failWith(errors.New("SlowDown"))
		r := serve(t, e, nil)
		r.signals <- syscall.SIGINT
		time.Sleep(10 * time.Second)
		e.failWith(nil)
		e.upload()
		if err := <-r.ended; err != nil {
			t.Errorf("after a drain that failed at first: %v", err)
		}
	})
}

func TestDrainSaysWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEngine(1)
		e.failWith(errors.New("AccessDenied"))
		r := serve(t, e, nil)
		r.signals <- syscall.SIGTERM
		wantRemains(t, <-r.ended, "AccessDenied")
	})
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r := serve(t, newFakeEngine(1), nil)
		r.signals <- syscall.SIGTERM
		time.Sleep(3 * time.Second)
		r.signals <- syscall.SIGTERM
		wantRemains(t, <-r.ended, "a second signal came")
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("it took %s, want 3s", took)
		}
	})
}

func TestBusyMountLeavesTheTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(0), func(r *rig) { r.mount.busy = true })
		r.signals <- syscall.SIGTERM
		if err := <-r.ended; err != nil {
			t.Errorf("ended with %v", err)
		}
		if !r.mount.isDetached() {
			t.Error("it was not taken out of the tree")
		}
		close(r.mount.gone) // as the end of the process does
	})
}

func TestUnmountFromOutsideDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(1), nil)
		if err := r.mount.Unmount(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case err := <-r.ended:
			t.Fatalf("it ended before the uploads were done: %v", err)
		default:
		}
		r.engine.upload()
		if err := <-r.ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}
