package index

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// BenchmarkNames reads 10,000 names with closures of 100 blobs each.
func BenchmarkNames(b *testing.B) {
	eachPlace(b, func(b *testing.B, x *Index) {
		const names, blobs = 10_000, 100
		for i := range names {
			n := Name{Name: fmt.Sprintf("name%05d", i)}
			for j := range blobs {
				n.Closure = append(n.Closure, ocispec.Descriptor{
					MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(fmt.Sprint(i, j)), Size: 1 << 20,
				})
			}
			must(b, x.PutName(n))
		}
		for b.Loop() {
			found := 0
			for n, err := range x.Names("") {
				must(b, err)
				found += len(n.Closure)
			}
			if found != names*blobs {
				b.Fatalf("%d blobs", found)
			}
		}
	})
}

// BenchmarkBlob reads and writes a record.
func BenchmarkBlob(b *testing.B) {
	eachPlace(b, func(b *testing.B, x *Index) {
		must(b, x.PutBlobs(Blob{Digest: dg("a")}))
		b.Run("read", func(b *testing.B) {
			for b.Loop() {
				_, _, err := x.Blob(dg("a"))
				must(b, err)
			}
		})
		b.Run("update", func(b *testing.B) {
			for b.Loop() {
				must(b, x.UpdateBlob(dg("a"), func(r *Blob) { r.Size++ }))
			}
		})
	})
}

// eachPlace runs a benchmark with the database in this process, and in one of its own.
func eachPlace(b *testing.B, run func(b *testing.B, x *Index)) {
	for place, open := range map[string]func(dir string, log *slog.Logger) (*Index, error){"here": Open, "process": Start} {
		b.Run(place, func(b *testing.B) {
			x, err := open(b.TempDir(), quiet())
			must(b, err)
			run(b, x)
			must(b, x.Close())
		})
	}
}
