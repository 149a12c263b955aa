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
