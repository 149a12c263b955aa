package sync

import (
	"errors"
	iofs "io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestNamesAreDirectories(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1))
	must(t, h.export("app", "latest", c))
	must(t, h.export("app", "v1", c))
	for _, name := range []string{"app", "app/v1"} {
		if _, ok := b.name(name); !ok {
			t.Errorf("name %q is not in the bucket", name)
		}
	}
	if diff := cmp.Diff(map[string]digest.Digest{"latest": c.desc.Digest, "v1": c.desc.Digest}, h.shownTags("app")); diff != "" {
		t.Error(diff)
	}
	dirs, err := h.Children(t.Context(), "")
	must(t, err)
	if diff := cmp.Diff([]string{"app"}, dirs); diff != "" {
		t.Error(diff)
	}
}

// TestOneNameOfManyIsReadAlone: a build that uses one name of ten thousand does not wait for the others.
func TestOneNameOfManyIsReadAlone(t *testing.T) {
	b := newMemBucket()
	one := newHost(t, b, nil)
	for _, name := range []string{"app", "app/v1", "apple", "other"} {
		must(t, one.export("", name, newCache(t, random(100, uint64(len(name))))))
	}
	h := newHost(t, b, nil)
	read := b.count("getname")
	for scope, want := range map[string]bool{"app": true, "app/v1": true, "ap": false, "app/v": false, "ingest": false} {
		if got, err := h.Exists(t.Context(), scope); got != want || err != nil {
			t.Errorf("names in %q: %v, %v, want %v", scope, got, err, want)
		}
	}
	h.shownTags("app")
	if n := b.count("getname") - read; n != 2 {
		t.Errorf("%d names were read, and 2 were used", n)
	}
}

func TestIndexIsMergedNotOverwritten(t *testing.T) {
	b := newMemBucket()
	one, two := newHost(t, b, nil), newHost(t, b, nil)
	before, err := one.Index(t.Context(), "")
	must(t, err)
	must(t, two.export("", "theirs", newCache(t, random(10, 1))))
	c := newCache(t, random(10, 2))
	for _, blob := range append(c.layers, c.config, c.manifest) {
		one.mustWrite(blob)
	}
	mine := c.desc
	mine.Annotations = map[string]string{ocispec.AnnotationRefName: "mine"}
	must(t, one.Publish(t.Context(), "", before, mustJSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{mine}})))
	shown := one.shownTags("")
	if shown["mine"] != c.desc.Digest || shown["theirs"] == "" {
		t.Errorf("after both wrote: %v", shown)
	}
}

func TestDroppedTagStaysUnlessDeletingIsAllowed(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		b := newMemBucket()
		h := newHost(t, b, func(o *Options) { o.AllowDelete = allowed })
		must(t, h.export("", "v1", newCache(t, random(10, 1))))
		before, err := h.Index(t.Context(), "")
		must(t, err)
		must(t, h.Publish(t.Context(), "", before, []byte(`{"manifests":[]}`)))
		if _, ok := b.name("v1"); ok == allowed {
			t.Errorf("deleting allowed %v, name still there %v", allowed, ok)
		}
		if err := h.Delete(t.Context(), "v1"); errors.Is(err, iofs.ErrPermission) == allowed {
			t.Errorf("deleting allowed %v: delete of the name: %v", allowed, err)
		}
	}
}

func TestForgetHidesOnlyWhatNoNameReaches(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(10, 1))
	must(t, h.export("", "latest", c))
	orphan := h.mustWrite([]byte("orphan"))
	must(t, h.Flush(t.Context()))
	layer := digest.FromBytes(c.layers[0])
	for _, d := range []digest.Digest{orphan, layer} {
		must(t, h.Forget(t.Context(), d))
		if _, ok := b.blob(d); !ok {
			t.Errorf("forgetting deleted %s from the bucket", d)
		}
	}
	h.restart()
	if _, err := h.Stat(t.Context(), orphan); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("a removed blob that no name reaches is shown: %v", err)
	}
	if _, err := h.read(layer); err != nil {
		t.Errorf("a removed blob that a name reaches does not come back: %v", err)
	}
	h.mustWrite([]byte("orphan"))
	if _, err := h.Stat(t.Context(), orphan); err != nil {
		t.Errorf("a removed blob that was written again is not shown: %v", err)
	}
}

func TestListingsOfBlobs(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c, other := newCache(t, random(10, 1)), newCache(t, random(10, 2))
	must(t, h.export("app", "latest", c))
	must(t, h.export("lib", "latest", other))
	list := func(h *host, scope string) map[digest.Digest]bool {
		t.Helper()
		ds := map[digest.Digest]bool{}
		for d, err := range h.All(t.Context(), scope) {
			must(t, err)
			if ds[d] {
				t.Errorf("%s is listed twice", d)
			}
			ds[d] = true
		}
		return ds
	}
	cold := newHost(t, b, nil)
	cold.shownTags("")
	for _, h := range []*host{h, cold} {
		if got := list(h, ""); len(got) != 6 {
			t.Errorf("the root lists %d blobs, not 6", len(got))
		}
		app := list(h, "app")
		if len(app) != 3 || !app[digest.FromBytes(c.layers[0])] {
			t.Errorf("the layout of a name lists %v", app)
		}
	}
}

func TestEveryHostSeesWhatWasPublished(t *testing.T) {
	b := newMemBucket()
	one, two := newHost(t, b, nil), newHost(t, b, nil)
	c := newCache(t, random(10, 1))
	layer := digest.FromBytes(c.layers[0])
	if _, err := two.Stat(t.Context(), layer); !errors.Is(err, iofs.ErrNotExist) {
		t.Fatal(err)
	}
	must(t, one.export("", "latest", c))
	if two.shownTags("")["latest"] != c.desc.Digest {
		t.Error("the other host does not see the name")
	}
	if _, err := two.Stat(t.Context(), layer); err != nil {
		t.Errorf("the name is seen, but a blob of it is still doubted: %v", err)
	}
	c2 := newCache(t, random(10, 2))
	must(t, one.export("", "latest", c2))
	if two.shownTags("")["latest"] != c2.desc.Digest {
		t.Error("the other host sees the old version")
	}
	err := b.PutName(t.Context(), "buildkit", []byte("not json"), nil)
	must(t, err)
	if got := two.shownTags(""); len(got) != 0 || two.Status().Broken["buildkit"] == "" {
		t.Errorf("a name that cannot be read: shown %v, broken %v", got, two.Status().Broken)
	}
	must(t, b.DeleteName(t.Context(), "buildkit"))
	if got := two.Status().Names; len(two.shownTags("")) != 0 || two.Status().Names != 0 {
		t.Errorf("a deleted name is still known: %d", got)
	}
}

// TestAnOldListingTakesNoNameAway: what it lacks is asked for.
func TestAnOldListingTakesNoNameAway(t *testing.T) {
	b := newMemBucket()
	c := newCache(t, random(100, 1))
	h := newHost(t, b, nil)
	must(t, h.export("app", "latest", c))
	second := newHost(t, b, nil)
	wantShown := func(want digest.Digest) {
		t.Helper()
		if got := second.shownTags("app")["latest"]; got != want {
			t.Errorf("it shows %q, want %q", got, want)
		}
	}
	wantShown(c.desc.Digest)
	b.old = map[string]bool{"app": true}
	wantShown(c.desc.Digest)
	if n := b.count("ensurelisted"); n > 0 {
		t.Errorf("other hosts are shown it %d times: every listing would be old for them", n)
	}
	must(t, b.DeleteName(t.Context(), "app"))
	wantShown("")
}

// TestAPublicationIsOneRequest is what the update of index.json costs, under a lock that other builds find
// taken.
func TestAPublicationIsOneRequest(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(10, 1))
	must(t, h.export("", "first", c))
	before := h.guard.requests.Load()
	empty, err := renderIndex(nil)
	must(t, err)
	d := c.desc
	d.Annotations = map[string]string{ocispec.AnnotationRefName: "second"}
	after := mustJSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{d}})
	must(t, h.Publish(t.Context(), "", empty, after))
	if n := h.guard.requests.Load() - before; n != 1 || b.count("putname") != 2 {
		t.Errorf("%d requests, of them %d for names", n, b.count("putname")-1)
	}
}

// TestNameIsReadAgainAfterItsPublication: another host may write the name within the same second, with the
// same body, and a listing shows no difference.
func TestNameIsReadAgainAfterItsPublication(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	m := mustJSON(t, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON})
	h.mustWrite([]byte("{}"))
	ours := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: h.mustWrite(m), Size: int64(len(m))}
	must(t, h.tag("", "kept", ours))
	must(t, h.tag("", "taken", ours))
	theirs := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: b.put([]byte("other")), Size: 5}
	b.mu.Lock()
	n := b.names["taken"]
	n.Descriptor = &theirs
	b.names["taken"] = n
	b.mu.Unlock()
	if diff := cmp.Diff(map[string]digest.Digest{"kept": ours.Digest, "taken": theirs.Digest}, h.shownTags("")); diff != "" {
		t.Error(diff)
	}
	if n, ok, err := h.index.Name("kept"); err != nil || !ok || n.Version.LastModified.IsZero() || len(n.Closure) == 0 {
		t.Errorf("read again: %+v, %v, want a version, and the closure that was known", n, err)
	}
}
