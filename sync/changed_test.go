package sync

import (
	"testing"

	"github.com/layoutfs/layoutfs/sync/disk"
)

// TestDroppedBlobIsFetchedAnew, also while the download is still open that brought it.
func TestDroppedBlobIsFetchedAnew(t *testing.T) {
	b := newMemBucket()
	writer := newHost(t, b, nil)
	d := writer.mustWrite([]byte("content"))
	must(t, writer.Flush(t.Context()))
	h := newHost(t, b, nil)
	for range 2 {
		if _, err := h.read(d); err != nil {
			t.Fatal(err)
		}
		h.awaitWarm(1)
		if err := h.Drop(d); err != nil {
			t.Fatal(err)
		}
		if state := h.disk.Stat(d).State; state != disk.Absent {
			t.Fatalf("after it was dropped it is %s", state)
		}
	}
}
