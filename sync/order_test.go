package sync

import (
	"errors"
	iofs "io/fs"
	"testing"

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

// TestBlobsOfALayoutComeInAnyOrder holds that a layout can be copied with cp -r, rsync and tar, which take its
// blobs in the order of their names. The index.json that comes last is what must find all there.
func TestBlobsOfALayoutComeInAnyOrder(t *testing.T) {
	for name, set := range map[string]func(*Options){"through": nil, "back": func(o *Options) { o.WriteBack = true }} {
		t.Run(name, func(t *testing.T) {
			b := newMemBucket()
			h := newHost(t, b, set)
			one, two := newCache(t, random(100, 1), random(100, 2)), newCache(t, random(100, 3))
			all := indexManifest(t, one, two)
			for _, content := range [][]byte{all.manifest, one.manifest, one.layers[1], two.config, one.config, two.manifest, one.layers[0], two.layers[0]} {
				h.mustWrite(content)
			}
			must(t, h.tag("app", latest, all.desc))
			must(t, h.Flush(t.Context()))
			other := newHost(t, b, nil)
			if got := other.shownTags("app")[latest]; got != all.desc.Digest {
				t.Errorf("another host sees %q", got)
			}
			for _, content := range [][]byte{all.manifest, one.manifest, one.config, one.layers[0], one.layers[1], two.manifest, two.config, two.layers[0]} {
				if got, err := other.read(digest.FromBytes(content)); err != nil || string(got) != string(content) {
					t.Errorf("another host reads %d bytes of %d, %v", len(got), len(content), err)
				}
			}
		})
	}
}

// TestNameOfBlobsThatDoNotCome has a layout of which some platforms were never copied.
func TestNameOfBlobsThatDoNotCome(t *testing.T) {
	for name, set := range map[string]func(*Options){"through": nil, "back": func(o *Options) { o.WriteBack = true }} {
		t.Run(name, func(t *testing.T) {
			b := newMemBucket()
			h := newHost(t, b, set)
			one, two := newCache(t, random(100, 1)), newCache(t, random(100, 2))
			all := indexManifest(t, one, two)
			for _, content := range [][]byte{all.manifest, one.layers[0], one.config, one.manifest} {
				h.mustWrite(content)
			}
			if err := h.tag("app", latest, all.desc); !errors.Is(err, iofs.ErrNotExist) {
				t.Errorf("publish: %v", err)
			}
			if n, ok := b.name("app"); ok {
				t.Errorf("the name is in the bucket: %+v", n.Descriptor)
			}
		})
	}
}

// TestManifestOfALostBlobIsRefused holds that a builder learns of a blob that was there and is gone where it
// can pass over that: at the manifest.
func TestManifestOfALostBlobIsRefused(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1))
	lost := h.mustWrite(c.layers[0])
	must(t, h.Flush(t.Context()))
	must(t, h.o.Disk.Remove(lost))
	b.remove(lost)
	h.age()
	h.mustWrite(c.config)
	if _, err := h.write(c.manifest); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("commit of the manifest: %v", err)
	}
}
