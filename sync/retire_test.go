package sync

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// put changes the index.json of a scope.
func (h *host) put(scope string, change func(*ocispec.Index)) {
	h.t.Helper()
	before, err := h.Index(h.t.Context(), scope)
	must(h.t, err)
	var idx ocispec.Index
	must(h.t, json.Unmarshal(before, &idx))
	change(&idx)
	must(h.t, h.Publish(h.t.Context(), scope, before, mustJSON(h.t, idx)))
}

// TestEntryThatGetsATagIsRenamed has oras push: it adds an entry without a tag, and then replaces it by one that
// has a tag. An entry that is dropped without that stays in the bucket.
func TestEntryThatGetsATagIsRenamed(t *testing.T) {
	for mode, set := range modes {
		t.Run(mode, func(t *testing.T) {
			b := newMemBucket()
			h := newHost(t, b, set)
			c, dropped := newCache(t, random(100, 1)), newCache(t, random(100, 2))
			for _, c := range []cache{c, dropped} {
				for _, content := range [][]byte{c.layers[0], c.config, c.manifest} {
					h.mustWrite(content)
				}
				h.put("app", func(idx *ocispec.Index) { idx.Manifests = append(idx.Manifests, c.desc) })
			}
			h.put("app", func(idx *ocispec.Index) {
				tagged := c.desc
				tagged.Annotations = map[string]string{ocispec.AnnotationRefName: "v1"}
				idx.Manifests = []ocispec.Descriptor{tagged}
			})
			must(t, h.Flush(t.Context()))
			want := []string{"app/" + dropped.desc.Digest.String(), "app/v1"}
			if got := b.allNames(); !slices.Equal(got, want) {
				t.Errorf("the bucket has %q, want %q", got, want)
			}
			shown := map[string]digest.Digest{"v1": c.desc.Digest, dropped.desc.Digest.String(): dropped.desc.Digest}
			if got := newHost(t, b, nil).shownTags("app"); !maps.Equal(got, shown) {
				t.Errorf("another host shows %v, want %v", got, shown)
			}
		})
	}
}

func (m *memBucket) allNames() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.names))
}
