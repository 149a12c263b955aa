package daemon

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatusOverTheSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(3), func(r *rig) {
			r.config.Bucket.Bucket, r.config.Bucket.Prefix = "ci", "team/"
			r.config.Bucket.SecretAccessKey = "hunter2"
		})
		defer finish(t, r)
		s, err := r.client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Mountpoint != testMountpoint || s.Bucket.URL != "s3://ci/team/" || s.Staged.Blobs != 3 || s.Version != "test" {
			t.Errorf("got %+v", s)
		}
		if s.Passthrough.On || s.Passthrough.Reason == "" {
			t.Errorf("passthrough is %+v", s.Passthrough)
		}
		if b := toJSON(t, s); strings.Contains(b, "hunter2") {
			t.Errorf("the status tells a secret: %s", b)
		}
	})
}

// finish ends a rig whatever is staged.
func finish(t *testing.T, r *rig) {
	t.Helper()
	r.signals <- syscall.SIGTERM
	r.signals <- syscall.SIGTERM
	if err := <-r.ended; err != nil {
		t.Logf("ended with %v", err)
	}
}

func TestFlushWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(1), nil)
		defer finish(t, r)
		done := make(chan error)
		go func() { done <- r.client.Flush(t.Context(), testMountpoint, 0) }()
		time.Sleep(time.Hour)
		r.engine.upload()
		if err := <-done; err != nil {
			t.Errorf("flush: %v", err)
		}
	})
}

func TestFlushSaysWhatRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(2), nil)
		defer finish(t, r)
		begin := time.Now()
		err := r.client.Flush(t.Context(), testMountpoint, 5*time.Second)
		wantRemains(t, err, "2 blobs", "not done within 5s", "stays mounted")
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("it took %s, want 5s", took)
		}
	})
}

func TestRequestEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(1), nil)
		defer finish(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := r.client.order(ctx, testMountpoint, umountPath, 0, UnmountRequest{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the request ended with %v", err)
		}
		synctest.Wait()
		r.engine.upload()
		synctest.Wait()
		if isClosed(r.mount.gone) {
			t.Error("it was unmounted for a client that had gone")
		}
	})
}

func TestUmountDrainsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(1), nil)
		time.AfterFunc(5*time.Second, r.engine.upload)
		if err := r.client.order(t.Context(), testMountpoint, umountPath, time.Minute, UnmountRequest{TimeoutSeconds: 60}); err != nil {
			t.Errorf("umount: %v", err)
		}
		if err := <-r.ended; err != nil {
			t.Errorf("ended with %v", err)
		}
		if _, err := r.client.Status(t.Context()); !errors.Is(err, ErrNotMounted) {
			t.Errorf("a status after the end: %v", err)
		}
	})
}

func TestUmountStaysWhenUploadsRemain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(4), nil)
		defer finish(t, r)
		err := r.client.order(t.Context(), testMountpoint, umountPath, time.Second, UnmountRequest{TimeoutSeconds: 1})
		wantRemains(t, err, "4 blobs", "stays mounted")
		if isClosed(r.mount.gone) {
			t.Error("it was unmounted")
		}
	})
}

func TestUmountStaysWhenInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(0), func(r *rig) { r.mount.busy = true })
		err := r.client.order(t.Context(), testMountpoint, umountPath, 0, UnmountRequest{})
		if err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("umount: %v", err)
		}
		r.mount.mu.Lock()
		r.mount.busy = false
		r.mount.mu.Unlock()
		finish(t, r)
	})
}

func TestForcedUmountTellsWhatRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(4), func(r *rig) { r.mount.busy = true })
		err := r.client.order(t.Context(), testMountpoint, umountPath, time.Second, UnmountRequest{TimeoutSeconds: 1, Force: true})
		wantRemains(t, err, "4 blobs", "the next mount")
		if !r.mount.isDetached() {
			t.Error("it is still in the tree")
		}
		wantRemains(t, <-r.ended, "by force")
		close(r.mount.gone)
	})
}

func TestForcedUmountDoesNotDrainAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(4), func(r *rig) { r.mount.lingers = time.Second })
		err := r.client.order(t.Context(), testMountpoint, umountPath, time.Second, UnmountRequest{TimeoutSeconds: 1, Force: true})
		wantRemains(t, err, "4 blobs (4.0 MiB)", "the next mount")
		begin := time.Now()
		wantRemains(t, <-r.ended, "by force")
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it ended %s after the answer", took)
		}
	})
}

func TestRequestsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, newFakeEngine(0), nil)
		defer finish(t, r)
		long := strings.Repeat("x", maxMessage)
		for name, body := range map[string]any{"long": map[string]string{"timeout": long}, "wrong": []int{1}} {
			var out Outcome
			code, err := r.client.ask(t.Context(), http.MethodPost, umountPath, body, &out)
			if err != nil || code != http.StatusBadRequest || !out.Mounted {
				t.Errorf("%s: status %d, outcome %+v, error %v", name, code, out, err)
			}
		}
	})
}
