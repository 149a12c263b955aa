package bucket_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

func TestCut(t *testing.T) {
	const mib, gib, tib = int64(1) << 20, int64(1) << 30, int64(1) << 40
	for _, size := range []int64{1, 16 * mib, 16*mib + 1, 16 * mib * 10_000, 16*mib*10_000 + 1, 700 * gib, 5 * tib} {
		parts := bucket.Cut(size, 16*mib)
		if len(parts) > 10_000 {
			t.Errorf("%d bytes are cut into %d parts", size, len(parts))
		}
		_, _, step := bucket.Part(parts[0])
		var end int64
		for i, p := range parts {
			number, off, length := bucket.Part(p)
			if number != int32(i+1) || off != end || length < 1 || (length != step && i < len(parts)-1) || length > step {
				t.Fatalf("%d bytes: part %d is number %d, %d bytes at %d", size, i, number, length, off)
			}
			end = off + length
		}
		if end != size || step < min(size, 16*mib) {
			t.Errorf("parts of %d bytes end at %d, each has %d", size, end, step)
		}
	}
}

func TestDescriptorMetadata(t *testing.T) {
	d := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1,
		Annotations: map[string]string{"a": strings.Repeat("a", 700), "b": strings.Repeat("ü", 200), "c": strings.Repeat("c", 900), "d": "\u007f🚀"},
	}
	value, dropped, err := bucket.EncodeDescriptor(d)
	if err != nil || !slices.Equal(dropped, []string{"b"}) || len(value) > 2048 {
		t.Fatalf("%d bytes, dropped %q, %v", len(value), dropped, err)
	}
	if i := strings.IndexFunc(value, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		t.Errorf("no printable ASCII: %q", value)
	}
	got := bucket.DecodeDescriptor(map[string]string{"Oci-Descriptor": value})
	if got == nil || got.Digest != d.Digest {
		t.Fatalf("decoded %+v", got)
	}
	if _, ok := d.Annotations["b"]; !ok {
		t.Error("the caller's annotations were changed")
	}
	delete(d.Annotations, "b")
	if !maps.Equal(got.Annotations, d.Annotations) {
		t.Errorf("decoded annotations %q", got.Annotations)
	}
	d.MediaType = strings.Repeat("m", 3000)
	if _, _, err := bucket.EncodeDescriptor(d); err == nil {
		t.Error("a descriptor that cannot fit: no error")
	}
	for _, bad := range []string{"", "{", "{}", `{"digest":"sha256:x"}`, `{"digest":"` + string(d.Digest) + `","size":-1}`} {
		if got := bucket.DecodeDescriptor(map[string]string{"oci-descriptor": bad}); got != nil {
			t.Errorf("decoded %q as %+v", bad, got)
		}
	}
}
