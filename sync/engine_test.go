package sync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/child"
	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/disk"
)

func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b)
	return b
}

var errDown = fmt.Errorf("dial tcp: refused: %w", bucket.ErrUnreachable)

func down(context.Context, string, string) error { return errDown }

func TestExportThenImportOnAnotherHost(t *testing.T) {
	b := newMemBucket()
	c := newCache(t, random(3<<20, 1), random(5000, 2), random(9<<20, 3))
	must(t, newHost(t, b, nil).export("", "latest", c))

	n, ok := b.name("buildkit")
	if !ok || n.Descriptor == nil {
		t.Fatalf("name object: %v, %+v", ok, n)
	}
	other := newHost(t, b, nil)
	if diff := cmp.Diff(map[string]digest.Digest{"latest": c.desc.Digest}, other.shownTags("")); diff != "" {
		t.Fatal(diff)
	}
	for _, want := range append(c.layers, c.config, c.manifest) {
		got, err := other.read(digest.FromBytes(want))
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, not the %d that were written", len(got), len(want))
		}
	}
	other.awaitWarm(5)
}

func TestCacheOfTypeS3IsSynthesised(t *testing.T) {
	b := newMemBucket()
	body := b.exportOfS3(t, "buildkit", newCache(t, random(100, 1), random(200, 2)))
	h := newHost(t, b, nil)
	check := func() {
		t.Helper()
		manifest, err := h.read(h.shownTags("")["latest"])
		must(t, err)
		got, err := cacheconfig.ParseManifest(manifest)
		must(t, err)
		config, err := h.read(got.Config.Digest)
		must(t, err)
		again, err := cacheconfig.Export(got, config)
		must(t, err)
		var want, have any
		must(t, json.Unmarshal(body, &want))
		must(t, json.Unmarshal(again, &have))
		if diff := cmp.Diff(want, have); diff != "" {
			t.Error(diff)
		}
		if state := h.o.Disk.Stat(got.Config.Digest).State; state != disk.Warm {
			t.Errorf("a synthesised config is in state %v: it must not be uploaded", state)
		}
	}
	check()
	must(t, h.o.Disk.Remove(h.shownTags("")["latest"])) // evicted: it is made again
	h.restart()
	check()
	if got := b.count("put"); got != 0 {
		t.Errorf("reading a cache of type=s3 wrote %d blobs to the bucket", got)
	}
}

// exportOfS3 has the bucket hold a cache as type=s3 writes it, and returns its CacheConfig.
func (b *memBucket) exportOfS3(t *testing.T, name string, c cache) (body []byte) {
	t.Helper()
	m, err := cacheconfig.ParseManifest(c.manifest)
	must(t, err)
	body, err = cacheconfig.Export(m, c.config)
	must(t, err)
	for _, l := range c.layers {
		b.put(l)
	}
	must(t, b.PutName(t.Context(), name, body, nil))
	return body
}

func TestRemovedIndexLosesNothing(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, func(o *Options) { o.WriteBack = true })
	warm := newCache(t, random(1000, 1))
	must(t, h.export("", "latest", warm))
	must(t, h.Flush(t.Context()))
	b.failing(down)
	staged := newCache(t, random(1000, 2))
	must(t, h.export("", "later", staged))
	h.stop()
	must(t, os.RemoveAll(filepath.Join(h.dir, "index")))
	b.failing(nil)
	h.start()
	opens := b.count("open")
	if _, err := h.read(digest.FromBytes(warm.layers[0])); err != nil || b.count("open") != opens {
		t.Errorf("a warm blob was fetched again, or lost: %v", err)
	}
	must(t, h.Flush(t.Context()))
	shown := h.shownTags("")
	if shown["latest"] != warm.desc.Digest || shown["later"] != staged.desc.Digest {
		t.Errorf("names after the index was removed: %v", shown)
	}
}

// TestLostIndexIsFoundAgain: what the index held when its files went away under the engine is there at the next request, and
// nothing is fetched, uploaded or read of names again.
func TestLostIndexIsFoundAgain(t *testing.T) {
	b := newMemBucket()
	s3 := newCache(t, random(500, 3))
	b.exportOfS3(t, "s3", s3)
	h := newHost(t, b, func(o *Options) { o.WriteBack = true })
	warm := newCache(t, random(1000, 1))
	must(t, h.export("", "latest", warm))
	must(t, h.Flush(t.Context()))
	synthesised := h.shownTags("")["s3"]
	b.failing(down)
	staged := newCache(t, random(1000, 2))
	must(t, h.export("", "later", staged))
	b.failing(func(_ context.Context, verb, key string) error {
		if verb == "open" || verb == "getname" && key != "later" {
			t.Errorf("%s is asked for again: %s", key, verb)
		}
		return nil
	})
	h.forgive()

	must(t, os.RemoveAll(filepath.Join(h.dir, "index")))
	if _, err := h.read(h.mustWrite([]byte("new"))); err != nil {
		t.Error(err)
	}
	if !h.index.Lost() || !strings.Contains(h.Status().LastError.Text, "kept in memory") {
		t.Errorf("the index is lost: %v; status tells %+v", h.index.Lost(), h.Status().LastError)
	}
	for _, c := range []cache{warm, staged} {
		if _, err := h.read(digest.FromBytes(c.layers[0])); err != nil {
			t.Error(err)
		}
	}
	must(t, h.Flush(t.Context()))
	want := map[string]digest.Digest{"latest": warm.desc.Digest, "later": staged.desc.Digest, "s3": synthesised}
	if diff := cmp.Diff(want, h.shownTags("")); diff != "" {
		t.Error(diff)
	}
	for _, c := range []cache{warm, staged, s3} {
		if ok, err := h.reached(t.Context(), digest.FromBytes(c.layers[0])); !ok || err != nil {
			t.Errorf("a layer is reached: %v, %v", ok, err)
		}
	}
}

// TestRemovedStaysRemoved: a blob that no name needs is not shown again, though the bucket has it, whatever ends the process of the
// index as soon as it is said to be removed.
func TestRemovedStaysRemoved(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	h.stop()
	h.openIndex = index.Start
	for range 5 {
		h.start()
		d := h.mustWrite(random(100, 1))
		must(t, h.Flush(t.Context()))
		must(t, h.Forget(t.Context(), d))
		pid, err := child.Find(os.Getpid(), "layoutfs-index")
		must(t, err)
		must(t, syscall.Kill(pid, syscall.SIGKILL))
		must(t, errors.Join(h.Close(), h.o.Disk.Close()))
		h.start()
		if _, err := h.Stat(t.Context(), d); !isNotExist(err) {
			t.Errorf("the blob that was removed: %v", err)
		}
		h.stop()
	}
}

// TestIndexIsLostBetweenIndexAndCatalog: a closure that went to an index which is lost before the catalog says that it is there
// is in the next one.
func TestIndexIsLostBetweenIndexAndCatalog(t *testing.T) {
	h := newHost(t, newMemBucket(), nil)
	layer := digest.FromString("layer")
	manifest := ocispec.Descriptor{Digest: digest.FromString("manifest")}
	n := index.Name{Name: "app", Descriptor: manifest, Closure: []ocispec.Descriptor{manifest, {Digest: layer}}}
	must(t, h.inBoth(func() error { return h.index.PutName(n) }, func() {
		must(t, os.RemoveAll(filepath.Join(h.dir, "index")))
		must(t, h.index.PutBlobs(index.Blob{Digest: layer}))
		h.catalog.set("app", entryOf(n))
	}))
	if ok, err := h.index.Reached(layer); !h.index.Lost() || !ok || err != nil {
		t.Errorf("lost: %v; the layer is reached: %v, %v", h.index.Lost(), ok, err)
	}
}

func TestImagesAreKeptToo(t *testing.T) {
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
	if n, ok := b.name("image"); !ok || string(n.Body) != "{}" {
		t.Errorf("name object of an image: %v %q", ok, n.Body)
	}
	if got := newHost(t, b, nil).shownTags("")["image"]; got != d {
		t.Errorf("another host sees %q", got)
	}
}
