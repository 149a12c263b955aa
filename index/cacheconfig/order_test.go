package cacheconfig

import (
	"maps"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestOrder(t *testing.T) {
	blobs := func(ds ...digest.Digest) (all []ocispec.Descriptor) {
		for _, d := range ds {
			all = append(all, ocispec.Descriptor{Digest: d})
		}
		return all
	}
	cache := Manifest{Config: &ocispec.Descriptor{}, Layers: blobs("a", "b", "c", "d")}
	for name, tc := range map[string]struct {
		m      Manifest
		config string
		want   map[digest.Digest]digest.Digest
	}{
		"an image":  {Manifest{Children: blobs("config", "a", "b")}, "", map[digest.Digest]digest.Digest{"config": "a", "a": "b"}},
		"platforms": {Manifest{Children: blobs("a", "b"), Manifests: blobs("a", "b")}, "", nil},
		"no layers": {cache, `{}`, nil},
		"a chain":   {cache, `{"layers":[{"blob":"b","parent":1},{"blob":"a","parent":-1},{"blob":"c"}]}`, map[digest.Digest]digest.Digest{"a": "b", "b": "c"}},
		"branches":  {cache, `{"layers":[{"blob":"a","parent":-1},{"blob":"b"},{"blob":"c"},{"blob":"d","parent":2}]}`, map[digest.Digest]digest.Digest{"c": "d"}},
		"twice":     {cache, `{"layers":[{"blob":"a","parent":-1},{"blob":"b"},{"blob":"b"}]}`, map[digest.Digest]digest.Digest{"a": "b"}},
		"not named": {cache, `{"layers":[{"blob":"a","parent":-1},{"blob":"x"}]}`, nil},
		"nonsense":  {cache, `{"layers":[{"blob":"a"},{"blob":"b","parent":7}]}`, nil},
	} {
		order, err := tc.m.Order([]byte(tc.config))
		got := map[digest.Digest]digest.Digest{}
		for d, next := range order {
			got[d] = next.Digest
		}
		if err != nil || !maps.Equal(got, tc.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tc.want)
		}
	}
	for _, config := range []string{`[]`, `{"layers":{}}`, `{"layers":[1]}`} {
		if _, err := cache.Order([]byte(config)); err == nil {
			t.Errorf("%s is taken", config)
		}
	}
}
