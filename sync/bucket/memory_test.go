package bucket_test

import (
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// TestUploadTakesNoMemory uploads half a gigabyte, with TLS and without: all that is allocated for it, ever,
// is a small part of that. Nothing is kept between parts, so a larger blob takes no more.
func TestUploadTakesNoMemory(t *testing.T) {
	const size, most = 512 << 20, 16 << 20
	for _, endpoint := range []string{"http://s3.test", "https://s3.test"} {
		c := buckettest.OpenWith(t, at(endpoint), bucket.Options{Transport: &recorder{}})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := c.PutBlob(t.Context(), digest.FromString("large"), zeros{}, size); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > most {
			t.Errorf("%s: %d MiB were allocated for an upload of %d", endpoint, n>>20, size>>20)
		}
	}
}
