package sync

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func tagged(seed, tag string) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(seed), Size: int64(len(seed))}
	if tag != "" {
		d.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	}
	return d
}

func indexOf(t *testing.T, ds ...ocispec.Descriptor) []byte {
	t.Helper()
	b, err := json.Marshal(ocispec.Index{Manifests: ds})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNamesOfTags(t *testing.T) {
	tt := tags{configured: []string{"main", "fallback"}}
	for _, c := range []struct {
		scope, key string
		names      []string
	}{
		{"", "latest", []string{"main", "fallback"}},
		{"", "v1", []string{"v1"}},
		{"app", "latest", []string{"app"}},
		{"app", "v1", []string{"app/v1"}},
		{"a/b", "release/1", []string{"a/b/release/1"}},
	} {
		if diff := cmp.Diff(c.names, tt.names(c.scope, c.key)); diff != "" {
			t.Errorf("names(%q, %q): %s", c.scope, c.key, diff)
		}
		if got, ok := tt.key(c.scope, c.names[0]); !ok || got != c.key {
			t.Errorf("key(%q, %q) = %q, %v; want %q", c.scope, c.names[0], got, ok, c.key)
		}
	}
}

func TestNamesThatAScopeDoesNotShow(t *testing.T) {
	tt := tags{configured: []string{"main"}}
	for _, c := range []struct{ scope, name string }{
		{"app", "apple"}, {"app", "main"}, {"app", "app/latest"}, {"", "latest"}, {"app", "app/"},
	} {
		if key, ok := tt.key(c.scope, c.name); ok {
			t.Errorf("scope %q shows name %q as %q", c.scope, c.name, key)
		}
	}
}

func diffOf(before, after []byte) ([]change, error) {
	was, err := parseIndex(before)
	if err != nil {
		return nil, err
	}
	is, err := parseIndex(after)
	if err != nil {
		return nil, err
	}
	return diff(was, is), nil
}

func TestDiffIndexNamesWhatChanged(t *testing.T) {
	before := indexOf(t, tagged("one", "a"), tagged("two", "b"), tagged("three", ""))
	after := indexOf(t, tagged("one", "a"), tagged("new", "b"), tagged("four", "c"))
	changes, err := diffOf(before, after)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range changes {
		got[c.key] = c.desc.Digest.String()
		if c.removed {
			got[c.key] = "removed"
		}
	}
	want := map[string]string{
		"b": digest.FromString("new").String(), "c": digest.FromString("four").String(),
		digest.FromString("three").String(): "removed",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDiffIndexRefusesWhatItCannotPublish(t *testing.T) {
	for _, after := range []string{
		`{"manifests":[{"digest":"sha256:short","size":1}]}`,
		`{"manifests":[{"digest":"sha256:` + digest.FromString("x").Encoded() + `","size":-1}]}`,
		`{"manifests":`,
	} {
		if _, err := diffOf(nil, []byte(after)); err == nil {
			t.Errorf("diffIndex accepted %s", after)
		}
	}
}

func TestEntriesKeepTheirShapeThroughTheBucket(t *testing.T) {
	image := tagged("image", "v1")
	image.Annotations[annotationImageName] = "docker.io/library/app:v1"
	for _, d := range []ocispec.Descriptor{tagged("plain", "v1"), tagged("untagged", ""), image} {
		if diff := cmp.Diff(d, shown(stored(d), keyOf(d))); diff != "" {
			t.Errorf("%s: %s", keyOf(d), diff)
		}
	}
}

func TestChildrenAreTheNextComponents(t *testing.T) {
	names := []string{
		"app", "app/v1", "app/v1/x", "lib/core", "blobs", "a//b", "../up", "ingest/x", "apple",
		digest.FromString("untagged").String(),
	}
	if diff := cmp.Diff([]string{"a", "app", "apple", "lib"}, children("", names)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"v1"}, children("app", names)); diff != "" {
		t.Error(diff)
	}
}

func FuzzDiffIndex(f *testing.F) {
	f.Add([]byte(`{}`), []byte(`{"manifests":[]}`))
	f.Add([]byte(``), []byte(`{"schemaVersion":2,"manifests":[{"digest":"`+digest.FromString("x").String()+`","size":3}]}`))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		changes, err := diffOf(before, after)
		if err != nil {
			return
		}
		for _, c := range changes {
			if err := c.desc.Digest.Validate(); err != nil {
				t.Errorf("change of %q has digest %q", c.key, c.desc.Digest)
			}
		}
		if same, err := diffOf(after, after); err != nil || len(same) != 0 {
			t.Errorf("an index differs from itself: %v, %v", same, err)
		}
	})
}
