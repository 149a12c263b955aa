package sync

import (
	"context"
	"testing"
	"time"
)

// TestBlobsGoUpWhileTheClientGoesOn: commits return while nothing has arrived in the bucket yet, and the
// uploads are under way at once.
func TestBlobsGoUpWhileTheClientGoesOn(t *testing.T) {
	b := newMemBucket()
	started, arrive := make(chan string, 10), make(chan struct{})
	b.failing(func(ctx context.Context, verb, key string) error {
		if verb != "put" {
			return nil
		}
		started <- key
		select {
		case <-arrive:
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	h := newHost(t, b, nil)
	for i := range 3 {
		h.mustWrite([]byte{byte(i)})
	}
	for range 3 {
		select {
		case <-started:
		case <-time.After(10 * time.Second):
			t.Fatal("the blobs wait for each other")
		}
	}
	if s := h.Status(); s.Staged.Blobs != 3 || s.Counters.UploadedBlobs != 0 {
		t.Errorf("with three uploads under way: %+v", s)
	}
	close(arrive)
	must(t, h.Flush(t.Context()))
	if s := h.Status(); s.Staged.Blobs != 0 || s.Counters.UploadedBlobs != 3 {
		t.Errorf("after the flush: %+v", s)
	}
}
