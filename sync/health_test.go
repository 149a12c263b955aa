package sync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
)

// age makes all that is known of the bucket an hour old.
func (h *host) age() {
	h.presence.mu.Lock()
	for d, a := range h.presence.answers {
		a.at = a.at.Add(-time.Hour)
		h.presence.answers[d] = a
	}
	h.presence.last, h.presence.counted = nil, time.Time{}
	h.presence.mu.Unlock()
	h.catalog.mu.Lock()
	for name, known := range h.catalog.health {
		known.at = known.at.Add(-time.Hour)
		h.catalog.health[name] = known
	}
	h.catalog.mu.Unlock()
	for b, err := range h.index.Blobs() {
		must(h.t, err)
		b.Seen = b.Seen.Add(-time.Hour)
		must(h.t, h.index.PutBlobs(b))
	}
}

// shownManifest reads the manifest that a tag of the root shows.
func (h *host) shownManifest(tag string) (digest.Digest, cacheconfig.Manifest) {
	h.t.Helper()
	d := h.shownTags("")[tag]
	b, err := h.read(d)
	must(h.t, err)
	m, err := cacheconfig.ParseManifest(b)
	must(h.t, err)
	return d, m
}

func layersOf(m cacheconfig.Manifest) map[digest.Digest]bool {
	ds := map[digest.Digest]bool{}
	for _, l := range m.Layers {
		ds[l.Digest] = true
	}
	return ds
}

// TestCacheIsOfferedWithoutTheLayersThatAreGone: a build fails on a layer that is offered and not there.
func TestCacheIsOfferedWithoutTheLayersThatAreGone(t *testing.T) {
	b := newMemBucket()
	c := newCache(t, random(100, 1), random(200, 2), random(300, 3))
	must(t, newHost(t, b, nil).export("", "latest", c))
	gone := digest.FromBytes(c.layers[1])
	b.remove(gone)

	h := newHost(t, b, nil)
	shown, m := h.shownManifest("latest")
	layers := layersOf(m)
	if shown == c.desc.Digest || layers[gone] || len(layers) != 2 || m.Config.Digest != digest.FromBytes(c.config) {
		t.Errorf("shown: %s with layers %v", shown, layers)
	}
	if why := h.Status().Broken["buildkit"]; !strings.Contains(why, gone.String()) {
		t.Errorf("status says %q", why)
	}
	if _, err := h.Stat(t.Context(), c.desc.Digest); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("who saw the name before is offered its manifest: %v", err)
	}
	for d, err := range h.All(t.Context(), "buildkit") {
		must(t, err)
		if d == gone {
			t.Error("the blob that is gone is listed")
		}
	}

	b.put(c.layers[1])
	h.age()
	if d := h.shownTags("")["latest"]; d != c.desc.Digest || len(h.Status().Broken) > 0 {
		t.Errorf("when the blob is back: %s is shown, broken %v", d, h.Status().Broken)
	}
}

// TestTheClockWasSetBack: what was seen in the bucket at a time that is to come may have gone since.
func TestTheClockWasSetBack(t *testing.T) {
	b := newMemBucket()
	c := newCache(t, random(100, 1), random(200, 2))
	must(t, newHost(t, b, nil).export("", "latest", c))
	h := newHost(t, b, nil)
	gone := digest.FromBytes(c.layers[1])
	b.remove(gone)
	must(t, h.index.PutBlobs(index.Blob{Digest: gone, Size: 200, Where: index.Bucket, Seen: time.Now().Add(time.Hour)}))
	if _, m := h.shownManifest("latest"); layersOf(m)[gone] {
		t.Error("a layer is offered that is gone")
	}
	must(t, h.index.PutBlobs(index.Blob{Digest: gone, Size: 200, Where: index.Bucket, Seen: time.Now().Add(time.Hour)}))
	if _, err := h.Stat(t.Context(), gone); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("a blob that is gone: %v", err)
	}
}

func TestAnExportHealsAName(t *testing.T) {
	b := newMemBucket()
	c := newCache(t, random(100, 1), random(200, 2))
	must(t, newHost(t, b, nil).export("", "latest", c))
	b.remove(digest.FromBytes(c.layers[1]))
	h := newHost(t, b, nil)
	h.shownTags("")
	must(t, h.export("", "latest", c))
	if d := h.shownTags("")["latest"]; d != c.desc.Digest || len(h.Status().Broken) > 0 {
		t.Errorf("after an export: %s is shown, broken %v", d, h.Status().Broken)
	}
	if _, ok := b.blob(digest.FromBytes(c.layers[1])); !ok {
		t.Error("the blob that was gone is not written again")
	}
}

func TestLayoutIsMadeAnewOfItsCacheConfig(t *testing.T) {
	for _, what := range []string{"manifest", "config"} {
		b := newMemBucket()
		c := newCache(t, random(100, 1), random(200, 2))
		must(t, newHost(t, b, nil).export("", "latest", c))
		b.remove(digest.FromBytes(map[string][]byte{"manifest": c.manifest, "config": c.config}[what]))
		h := newHost(t, b, nil)
		_, m := h.shownManifest("latest")
		config, err := h.read(m.Config.Digest)
		must(t, err)
		if len(layersOf(m)) != 2 || !strings.Contains(string(config), "record") && !json.Valid(config) {
			t.Errorf("without its %s the name has layers %v and config %s", what, layersOf(m), config)
		}
	}
}

func TestBrokenImageIsNotOffered(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	layer, config := h.mustWrite([]byte("layer")), h.mustWrite([]byte(`{"rootfs":{}}`))
	m := mustJSON(t, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: config, Size: 13},
		Layers:    []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: layer, Size: 5}},
	})
	d := h.mustWrite(m)
	must(t, h.tag("", "image", ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: int64(len(m))}))
	b.remove(layer)
	cold := newHost(t, b, nil)
	if shown := cold.shownTags(""); len(shown) != 0 || cold.Status().Broken["image"] == "" {
		t.Errorf("shown: %v, broken: %v", shown, cold.Status().Broken)
	}
	if shown := h.shownTags(""); shown["image"] != d {
		t.Errorf("where its layer is warm the image is not shown: %v", shown)
	}
}

// TestInAnOutageOnlyWhatIsHereIsOffered: what is warm is of use, and what is not must not fail a build.
func TestInAnOutageOnlyWhatIsHereIsOffered(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1), random(200, 2))
	must(t, h.export("", "latest", c))
	must(t, h.o.Disk.Remove(digest.FromBytes(c.layers[1])))
	b.failing(down)
	_, m := h.shownManifest("latest")
	if layers := layersOf(m); len(layers) != 1 || !layers[digest.FromBytes(c.layers[0])] {
		t.Errorf("offered: %v", layers)
	}
	if broken := h.Status().Broken; len(broken) > 0 {
		t.Errorf("broken in an outage: %v", broken)
	}
	if _, err := h.read(c.desc.Digest); err != nil {
		t.Errorf("the whole manifest, which is warm: %v", err)
	}
	b.failing(nil)
	h.forgive()
	if d := h.shownTags("")["latest"]; d != c.desc.Digest {
		t.Errorf("after the outage: %s", d)
	}
}

// TestWhatStandsForAManifestIsNotPublished: that would make the loss of a blob final.
func TestWhatStandsForAManifestIsNotPublished(t *testing.T) {
	b := newMemBucket()
	one := newHost(t, b, nil)
	c := newCache(t, random(100, 1), random(200, 2))
	must(t, one.export("", "old", c))
	b.remove(digest.FromBytes(c.layers[1]))
	h := newHost(t, b, nil)
	before, err := h.Index(t.Context(), "")
	must(t, err)
	stand := h.shownTags("")["old"]
	puts := b.count("putname")
	must(t, h.export("", "new", newCache(t, random(10, 9))))
	if n, _ := b.name("old"); b.count("putname") != puts+1 || n.Descriptor.Digest != c.desc.Digest {
		t.Errorf("another tag was published, and with it the old one: %+v", n.Descriptor)
	}
	var idx ocispec.Index
	must(t, json.Unmarshal(before, &idx))
	copied := idx.Manifests[0]
	if copied.Digest != stand {
		t.Fatalf("%s is shown, not %s", copied.Digest, stand)
	}
	if err := h.tag("", "copy", copied); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("a name was published of which a blob is gone: %v", err)
	}
	if _, ok := b.name("copy"); ok {
		t.Error("the name is in the bucket")
	}
}

func TestExaminingCostsNothingWhereAllIsWarm(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1), random(200, 2))
	must(t, h.export("", "latest", c))
	h.age()
	asked := b.count("stat")
	h.shownTags("")
	if got := b.count("stat") - asked; got != 0 {
		t.Errorf("%d requests for blobs that are here", got)
	}
	cold := newHost(t, b, nil)
	asked = b.count("stat")
	for range 5 {
		cold.shownTags("")
	}
	if got := b.count("stat") - asked; got > 4 {
		t.Errorf("%d requests for the 4 blobs of a name", got)
	}
}

// TestOfManyNamesOnlyWhatIsUsedIsExamined: the others cost nothing, and are when somebody wants them.
func TestOfManyNamesOnlyWhatIsUsedIsExamined(t *testing.T) {
	b := newMemBucket()
	one := newHost(t, b, nil)
	for i := range maxExamined + 1 {
		must(t, one.export("", fmt.Sprint("v", i), newCache(t, random(100, uint64(i)))))
	}
	c := newCache(t, random(100, 100))
	must(t, one.export("", "latest", c))
	b.remove(digest.FromBytes(random(100, 5)))
	h := newHost(t, b, nil)
	asked := b.count("stat")
	h.shownTags("")
	if got := b.count("stat") - asked; got > 3 {
		t.Errorf("%d requests for the 3 blobs of the configured name", got)
	}
	five := h.shownTags("")["v5"]
	if _, err := h.Stat(t.Context(), five); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("the manifest of a broken name is offered: %v", err)
	}
	if now := h.shownTags("")["v5"]; now == five || h.Status().Broken["v5"] == "" {
		t.Errorf("it is still shown as it was, and broken are %v", h.Status().Broken)
	}
}

// TestSlowBucketDelaysNoOpenOfTheIndex: a client holds a lock meanwhile that others do not wait for.
func TestSlowBucketDelaysNoOpenOfTheIndex(t *testing.T) {
	b := newMemBucket()
	c := newCache(t, random(100, 1), random(200, 2))
	must(t, newHost(t, b, nil).export("", "latest", c))
	gone := digest.FromBytes(c.layers[1])
	b.remove(gone)
	gate := make(chan struct{})
	b.failing(func(_ context.Context, verb, key string) error {
		if verb == "stat" && key == string(gone) {
			<-gate
		}
		return nil
	})
	h := newHost(t, b, nil)
	began := time.Now()
	if d := h.shownTags("")["latest"]; d != c.desc.Digest {
		t.Errorf("before it is known better, %s is shown", d)
	}
	if took := time.Since(began); took > 10*glance {
		t.Errorf("the open took %s", took)
	}
	asked := make(chan error)
	go func() {
		_, err := h.Stat(t.Context(), c.desc.Digest)
		asked <- err
	}()
	close(gate)
	if err := <-asked; !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("the manifest is offered all the same: %v", err)
	}
}
