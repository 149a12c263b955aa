package index

import (
	"fmt"
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
