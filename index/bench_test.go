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
	const names, blobs = 10_000, 100
	x := openAt(b, b.TempDir(), quiet())
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
}

// BenchmarkBlob reads and writes a record, in this process and in one of its own.
func BenchmarkBlob(b *testing.B) {
	for name, open := range map[string]func(dir string, log *slog.Logger) (*Index, error){"here": Open, "process": Start} {
		x, err := open(b.TempDir(), quiet())
		must(b, err)
		must(b, x.PutBlobs(Blob{Digest: dg("a")}))
		b.Run(name+"/read", func(b *testing.B) {
			for b.Loop() {
				_, _, err := x.Blob(dg("a"))
				must(b, err)
			}
		})
		b.Run(name+"/update", func(b *testing.B) {
			for b.Loop() {
				must(b, x.UpdateBlob(dg("a"), func(r *Blob) { r.Size++ }))
			}
		})
		must(b, x.Close())
	}
}
