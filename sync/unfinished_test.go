package sync

import (
	"context"
	"testing"
)

// droppingBucket knows of uploads that were cut off. Each try to drop them is told.
type droppingBucket struct {
	*memBucket
	tries chan error
}

func (b droppingBucket) DropUnfinished(ctx context.Context) error {
	err := b.request(ctx, "drop", "")
	b.tries <- err
	return err
}

// TestWhatWasCutOffIsDropped when the engine begins, and again after an outage, but not for who may not write.
func TestWhatWasCutOffIsDropped(t *testing.T) {
	b := droppingBucket{newMemBucket(), make(chan error, 10)}
	b.failing(down)
	h := newHost(t, b.memBucket, func(o *Options) { o.Blobs = b })
	if err := <-b.tries; err == nil {
		t.Error("the bucket answers")
	}
	b.failing(nil)
	if err := <-b.tries; err != nil { // after a probe
		t.Error(err)
	}
	h.stop()
	h.o.ReadOnly = true
	h.start()
	h.stop()
	if n := b.count("drop"); n != 2 {
		t.Errorf("tried %d times", n)
	}
}
