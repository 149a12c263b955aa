package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// TestLargeNamesAreReadOneAtATime, until what was read of one is not used any more, and small ones beside them: the
// memory that an attacker's names take is bounded.
func TestLargeNamesAreReadOneAtATime(t *testing.T) {
	b := newMemBucket()
	one := newHost(t, b, nil)
	must(t, one.export("", "small", newCache(t, random(10, 1))))
	small, _ := b.name("small")
	large := append(bytes.Clone(small.Body), bytes.Repeat([]byte(" "), smallName)...)
	for i := range 3 {
		must(t, b.PutName(t.Context(), fmt.Sprint("large-", i), large, nil))
	}
	h := newHost(t, b, nil)
	if shown := h.shownTags(""); len(shown) != 4 {
		t.Errorf("the names %v are shown", shown)
	}
	read := func(ctx context.Context, name string) (func(), error) {
		obj, release, err := h.object(ctx, name)
		if err == nil && int64(len(obj.Body)) != obj.Version.Size {
			t.Errorf("%d bytes of %q were read", len(obj.Body), name)
		}
		return release, err
	}
	release, err := read(t.Context(), "large-0")
	must(t, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel() // who would wait gives up
	if _, err := read(gone, "large-1"); !errors.Is(err, context.Canceled) {
		t.Errorf("another large name beside one: %v", err)
	}
	end, err := read(t.Context(), "small")
	must(t, err)
	end()
	release()
	release, err = read(t.Context(), "large-1")
	must(t, err)
	release()
	b.failing(down)
	if _, err := read(t.Context(), "large-2"); !errors.Is(err, bucket.ErrUnreachable) {
		t.Errorf("without a bucket: %v", err)
	}
	b.failing(nil)
	if n := len(h.objects.small) + len(h.objects.large); n > 0 {
		t.Errorf("%d places are taken and nobody reads", n)
	}
}
