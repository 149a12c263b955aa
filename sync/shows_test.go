package sync

import (
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestManifestsBelongToTheirLayouts holds that a layout shows all layers, so that none is sent twice, but of
// the manifests of names only its own: a client that finds one there does not list it in its index.json.
func TestManifestsBelongToTheirLayouts(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	one, nested := newCache(t, random(100, 1), random(100, 2)), newCache(t, random(100, 3))
	must(t, h.export("team/a", "latest", one))
	must(t, h.export("team/a", "v1", nested))
	other := newHost(t, b, nil) // which has read no closure
	other.shownTags("")
	for _, h := range []*host{h, other} {
		for scope, want := range map[string]bool{"": true, "team": true, "team/a": true, "team/b": false, "team/a/b": false, "team/ab": false} {
			if got := h.Shows(t.Context(), scope, one.desc.Digest); got != want {
				t.Errorf("the layout %q shows the manifest of team/a: %v, want %v", scope, got, want)
			}
			for _, content := range [][]byte{one.layers[0], one.config} {
				if d := digest.FromBytes(content); !h.Shows(t.Context(), scope, d) {
					t.Errorf("the layout %q does not show the layer or config %s", scope, d)
				}
			}
		}
		if !h.Shows(t.Context(), "team/a/v1", nested.desc.Digest) || !h.Shows(t.Context(), "team/a", nested.desc.Digest) {
			t.Error("a tag's manifest is not shown in its layouts")
		}
	}
	must(t, other.tag("team/b", "copy", one.desc))
	if !other.Shows(t.Context(), "team/b", one.desc.Digest) {
		t.Error("a manifest that a tag was given to is not shown")
	}
}

// TestListingsAndLookupsAgree has a name that waits for its blobs, whose manifest is there.
func TestListingsAndLookupsAgree(t *testing.T) {
	h := newHost(t, newMemBucket(), nil)
	other, early := newCache(t, random(100, 1)), newCache(t, random(100, 2))
	must(t, h.export("other", "latest", other))
	h.mustWrite(early.manifest)
	must(t, h.tag("early", "latest", early.desc))
	h.mustWrite(early.config)
	for _, scope := range []string{"", "other", "early"} {
		for d, err := range h.All(t.Context(), scope) {
			must(t, err)
			if !h.Shows(t.Context(), scope, d) {
				t.Errorf("the layout %q lists %s and does not show it", scope, d)
			}
		}
	}
}

// TestFormerManifestsAreShown: a client that has read index.json before a name changed finds what it names, also
// while the change is noted in the index and not yet in the catalog.
func TestFormerManifestsAreShown(t *testing.T) {
	h := newHost(t, newMemBucket(), nil)
	one, two := newCache(t, random(100, 1)), newCache(t, random(100, 2))
	must(t, h.export("app", "latest", one))
	n, _, err := h.index.Name("app")
	must(t, err)
	n.Descriptor, n.Closure = two.desc, []ocispec.Descriptor{two.desc}
	must(t, h.index.PutName(n))
	if !h.Shows(t.Context(), "app", one.desc.Digest) {
		t.Error("not shown while the name changes")
	}
	must(t, h.export("app", "latest", two))
	if !h.Shows(t.Context(), "app", one.desc.Digest) {
		t.Error("not shown when the name has changed")
	}
}
