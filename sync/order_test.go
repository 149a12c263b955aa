package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// indexManifest is an index of caches.
func indexManifest(t *testing.T, caches ...cache) cache {
	t.Helper()
	idx := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, c := range caches {
		idx.Manifests = append(idx.Manifests, c.desc)
	}
	b := mustJSON(t, idx)
	return cache{manifest: b, desc: ocispec.Descriptor{MediaType: idx.MediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}}
}

var modes = map[string]func(*Options){"through": nil, "back": func(o *Options) { o.WriteBack = true }}

// TestBlobsOfALayoutComeInAnyOrder holds that a layout can be copied with cp -r, rsync and tar, which take its
// files in an order of their own, rsync its index.json first.
func TestBlobsOfALayoutComeInAnyOrder(t *testing.T) {
	one, two := newCache(t, random(100, 1), random(100, 2)), newCache(t, random(100, 3))
	all := indexManifest(t, one, two)
	contents := [][]byte{all.manifest, one.manifest, one.layers[1], two.config, one.config, two.manifest, one.layers[0], two.layers[0]}
	for mode, set := range modes {
		for _, tagged := range []int{0, 1, 5, len(contents)} { // after so many blobs comes index.json
			t.Run(fmt.Sprintf("%s, index.json after %d", mode, tagged), func(t *testing.T) {
				b := newMemBucket()
				h := newHost(t, b, set)
				for i, content := range contents {
					if i == tagged {
						must(t, h.tag("app", "latest", all.desc))
						h.restart()
					}
					h.mustWrite(content)
				}
				if tagged == len(contents) {
					must(t, h.tag("app", "latest", all.desc))
				}
				if got := h.shownTags("app")["latest"]; got != all.desc.Digest {
					t.Errorf("this host shows %q", got)
				}
				must(t, h.Flush(t.Context()))
				other := newHost(t, b, nil)
				if got := other.shownTags("app")["latest"]; got != all.desc.Digest {
					t.Errorf("another host shows %q", got)
				}
				for _, content := range contents {
					if got, err := other.read(digest.FromBytes(content)); err != nil || !bytes.Equal(got, content) {
						t.Errorf("another host reads %d bytes of %d, %v", len(got), len(content), err)
					}
				}
			})
		}
	}
}

// TestEarlyNameIsPublishedByItsLastBlob holds that nobody has to ask for that.
func TestEarlyNameIsPublishedByItsLastBlob(t *testing.T) {
	b := newMemBucket()
	published := make(chan string, 10)
	b.failing(func(_ context.Context, verb, key string) error {
		if verb == "putname" {
			published <- key
		}
		return nil
	})
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1))
	must(t, h.tag("app", "latest", c.desc))
	for _, content := range [][]byte{c.manifest, c.config} {
		h.mustWrite(content)
	}
	h.mustWrite(c.layers[0])
	select {
	case name := <-published:
		if name != "app" {
			t.Errorf("%q is published", name)
		}
	case <-time.After(10 * time.Second):
		t.Error("the name is not published")
	}
}

// TestNameOfBlobsThatDoNotCome has a layout of which some platforms were never copied: that is told, and the tag
// can be taken back.
func TestNameOfBlobsThatDoNotCome(t *testing.T) {
	for mode, set := range modes {
		t.Run(mode, func(t *testing.T) {
			b := newMemBucket()
			h := newHost(t, b, set)
			one, two := newCache(t, random(100, 1)), newCache(t, random(100, 2))
			all := indexManifest(t, one, two)
			must(t, h.export("app", "latest", one))
			must(t, h.Flush(t.Context()))
			h.mustWrite(all.manifest)
			must(t, h.tag("app", "latest", all.desc))

			err := h.Flush(t.Context())
			if err == nil || !strings.Contains(err.Error(), two.desc.Digest.String()) || h.Status().Pending != 1 {
				t.Errorf("flush: %v, with %d names waiting", err, h.Status().Pending)
			}
			if n, _ := b.name("app"); n.Descriptor == nil || n.Descriptor.Digest != one.desc.Digest {
				t.Errorf("the bucket has %+v", n.Descriptor)
			}
			before, err := h.Index(t.Context(), "app")
			must(t, err)
			must(t, h.Publish(t.Context(), "app", before, indexOf(t)))
			must(t, h.Flush(t.Context()))
			if got := h.shownTags("app")["latest"]; got != one.desc.Digest {
				t.Errorf("after the tag was taken back %q is shown", got)
			}
		})
	}
}

// TestManifestOfLostBlobsIsRefused holds that a builder learns of a blob that was there and is gone where it
// can pass over that: at the manifest.
func TestManifestOfLostBlobsIsRefused(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1), random(100, 2), random(100, 3))
	var lost []digest.Digest
	for _, l := range c.layers {
		lost = append(lost, h.mustWrite(l))
	}
	must(t, h.Flush(t.Context()))
	for _, d := range lost {
		must(t, h.o.Disk.Remove(d))
		b.remove(d)
	}
	h.age()
	h.mustWrite(c.config)
	_, err := h.write(c.manifest)
	if !errors.Is(err, iofs.ErrNotExist) || !strings.Contains(err.Error(), lost[0].String()) || !strings.Contains(err.Error(), "(2 more as well)") {
		t.Errorf("commit of the manifest: %v", err)
	}
	for _, d := range lost {
		if _, err := h.Stat(t.Context(), d); !errors.Is(err, iofs.ErrNotExist) {
			t.Errorf("%s is shown, so the next export does not write it: %v", d, err)
		}
	}
}

// TestManifestThatNamesTooManyIsRefused before any of them is looked for.
func TestManifestThatNamesTooManyIsRefused(t *testing.T) {
	h := newHost(t, newMemBucket(), nil)
	var absent []cache
	for i := range maxManifests + 1 {
		absent = append(absent, cache{desc: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(i)), Size: 10}})
	}
	_, err := h.write(indexManifest(t, absent...).manifest)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d manifests", maxManifests)) {
		t.Errorf("commit: %v", err)
	}
	if n := h.Status().Counters.Requests; n > 1 { // the upload of the manifest itself
		t.Errorf("%d requests were made for it", n)
	}
}
