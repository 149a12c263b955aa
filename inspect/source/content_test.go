package source_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
)

const layouts = "../testdata/layouts"

// content is what every source of the suite is filled with, in its own way: real caches and an image, a name
// that a type=s3 client wrote, one that cannot be read, and a blob that no name reaches.
type content struct {
	names     map[string]ocispec.Descriptor // those of layouts, by name
	configs   map[string][]byte             // the CacheConfigs of type=s3, by name
	synthetic map[string]ocispec.Descriptor // the manifests that are made of them
	blobs     map[digest.Digest][]byte
	lone      digest.Digest // the blob that no name reaches
}

// broken is the name that cannot be read.
const broken = "broken"

func newContent(t testing.TB) *content {
	t.Helper()
	c := &content{
		names: map[string]ocispec.Descriptor{}, configs: map[string][]byte{}, synthetic: map[string]ocispec.Descriptor{},
		blobs: map[digest.Digest][]byte{},
	}
	for name, layout := range map[string]string{"app": "gzip", "team/app": "estargz", "image": "image"} {
		c.names[name] = c.take(t, layout)
	}
	c.synthesise(t, "old", c.take(t, "zstd"))
	c.lone = c.add([]byte("nobody needs me"))
	return c
}

func (c *content) add(b []byte) digest.Digest {
	d := digest.FromBytes(b)
	c.blobs[d] = b
	return d
}

// take adds the blobs of a captured layout.
func (c *content) take(t testing.TB, layout string) ocispec.Descriptor {
	t.Helper()
	dir := filepath.Join(layouts, layout, "blobs", "sha256")
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		must(t, err)
		c.add(b)
	}
	b, err := os.ReadFile(filepath.Join(layouts, layout, "index.json"))
	must(t, err)
	var index ocispec.Index
	must(t, json.Unmarshal(b, &index))
	d := index.Manifests[0]
	d.Annotations = nil
	return d
}

// synthesise makes of a layout's cache what type=s3 would have written, without manifest and config.
func (c *content) synthesise(t testing.TB, name string, d ocispec.Descriptor) {
	t.Helper()
	m, err := cacheconfig.ParseManifest(c.blobs[d.Digest])
	must(t, err)
	c.configs[name], err = cacheconfig.Export(m, c.blobs[m.Config.Digest])
	must(t, err)
	delete(c.blobs, d.Digest)
	delete(c.blobs, m.Config.Digest)
	l, err := cacheconfig.Import(c.configs[name])
	must(t, err)
	c.synthetic[name] = l.Descriptor
}

// documents are the manifest and the config that are made of a name's CacheConfig.
func (c *content) documents(t testing.TB, name string) [][]byte {
	t.Helper()
	l, err := cacheconfig.Import(c.configs[name])
	must(t, err)
	return [][]byte{l.Manifest, l.Config}
}

// all are the descriptors of all names, synthetic ones too.
func (c *content) all() map[string]ocispec.Descriptor {
	all := map[string]ocispec.Descriptor{}
	for _, names := range []map[string]ocispec.Descriptor{c.names, c.synthetic} {
		for name, d := range names {
			all[name] = d
		}
	}
	return all
}

// layout writes the content as a plain layout.
func (c *content) layout(t testing.TB, dir string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755))
	write := func(b []byte) {
		must(t, os.WriteFile(filepath.Join(dir, "blobs", "sha256", digest.FromBytes(b).Encoded()), b, 0o644))
	}
	for _, b := range c.blobs {
		write(b)
	}
	index := ocispec.Index{}
	for name, d := range c.all() {
		d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
		index.Manifests = append(index.Manifests, d)
	}
	for name := range c.configs {
		for _, doc := range c.documents(t, name) {
			write(doc)
		}
	}
	index.Manifests = append(index.Manifests, ocispec.Descriptor{
		Digest: "sha256:short", Annotations: map[string]string{ocispec.AnnotationRefName: broken},
	})
	b, err := json.Marshal(index)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "index.json"), b, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "blobs", "sha256", "temporary"), nil, 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readerOf(b []byte) *bytes.Reader { return bytes.NewReader(b) }
