package tag_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/tag"
)

const imageName = "io.containerd.image.name"

func TestEntriesKeepTheirShapeThroughTheBucket(t *testing.T) {
	for _, tc := range []struct {
		annotations map[string]string
		key         string // "": the digest
	}{
		{nil, ""},
		{map[string]string{ocispec.AnnotationRefName: "v1"}, "v1"},
		{map[string]string{"other": "kept", ocispec.AnnotationRefName: "v1"}, "v1"},
		{map[string]string{imageName: "docker.io/library/app:v1", ocispec.AnnotationRefName: "v1"}, "docker.io/library/app:v1"},
	} {
		d := ocispec.Descriptor{Digest: digest.FromString("manifest"), Size: 8, Annotations: tc.annotations}
		want := tc.key
		if want == "" {
			want = d.Digest.String()
		}
		if got := tag.Key(d); got != want {
			t.Errorf("the key of %v is %q, want %q", tc.annotations, got, want)
		}
		if diff := cmp.Diff(d, tag.Shown(tag.Stored(d), want)); diff != "" {
			t.Errorf("%v: %s", tc.annotations, diff)
		}
	}
}

// TestATagIsOfOneLayout: another layout may show the name under another tag.
func TestATagIsOfOneLayout(t *testing.T) {
	d := ocispec.Descriptor{Annotations: map[string]string{ocispec.AnnotationRefName: "v1"}}
	if got := tag.Stored(d).Annotations; got != nil {
		t.Errorf("what is stored has %v", got)
	}
	if len(d.Annotations) != 1 {
		t.Error("the entry itself was changed")
	}
}

func TestNames(t *testing.T) {
	names := tag.Names{"main", "fallback"}
	for _, tc := range []struct {
		scope, key string
		want       []string
	}{
		{"", "latest", []string{"main", "fallback"}},
		{"", "v1", []string{"v1"}},
		{"app", "latest", []string{"app"}},
		{"app", "v1", []string{"app/v1"}},
		{"a/b", "release/1", []string{"a/b/release/1"}},
	} {
		if diff := cmp.Diff(tc.want, names.Of(tc.scope, tc.key)); diff != "" {
			t.Errorf("Of(%q, %q): %s", tc.scope, tc.key, diff)
		}
		if got, ok := names.Key(tc.scope, tc.want[0]); !ok || got != tc.key {
			t.Errorf("Key(%q, %q) = %q, %v; want %q", tc.scope, tc.want[0], got, ok, tc.key)
		}
	}
}

func TestNamesThatAScopeDoesNotShow(t *testing.T) {
	for _, tc := range []struct{ scope, name string }{
		{"app", "apple"}, {"app", "main"}, {"app", "app/latest"}, {"", "latest"}, {"app", "app/"},
	} {
		if key, ok := (tag.Names{"main"}).Key(tc.scope, tc.name); ok {
			t.Errorf("scope %q shows name %q as %q", tc.scope, tc.name, key)
		}
	}
}
