package inspect_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/source"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// folder is a layout that tests put together.
type folder struct {
	t     testing.TB
	dir   string
	index ocispec.Index
}

func newFolder(t testing.TB) *folder {
	t.Helper()
	f := &folder{t: t, dir: t.TempDir()}
	must(t, os.MkdirAll(filepath.Join(f.dir, "blobs", "sha256"), 0o755))
	return f
}

func (f *folder) path(d digest.Digest) string {
	return filepath.Join(f.dir, "blobs", "sha256", d.Encoded())
}

func (f *folder) add(mediaType string, b []byte) ocispec.Descriptor {
	f.t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	must(f.t, os.WriteFile(f.path(d.Digest), b, 0o644))
	return d
}

func (f *folder) addJSON(mediaType string, v any) ocispec.Descriptor {
	f.t.Helper()
	b, err := json.Marshal(v)
	must(f.t, err)
	return f.add(mediaType, b)
}

// tag gives a manifest a name.
func (f *folder) tag(name string, d ocispec.Descriptor) {
	d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	f.index.Manifests = append(f.index.Manifests, d)
}

// copy takes over a captured layout under another name.
func (f *folder) copy(name, layout string) {
	f.t.Helper()
	dir := filepath.Join("testdata", "layouts", layout)
	files, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	must(f.t, err)
	for _, file := range files {
		b, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", file.Name()))
		must(f.t, err)
		f.add("", b)
	}
	var index ocispec.Index
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	must(f.t, err)
	must(f.t, json.Unmarshal(b, &index))
	f.tag(name, index.Manifests[0])
}

// cacheOf makes a cache of a captured config, with layers that are nothing but their digests.
func (f *folder) cacheOf(name, config string) {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "why", config))
	must(f.t, err)
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: f.add(cacheconfig.MediaType, b)}
	m.SchemaVersion = 2
	var doc struct {
		Layers []struct {
			Blob digest.Digest `json:"blob"`
		} `json:"layers"`
	}
	must(f.t, json.Unmarshal(b, &doc))
	for _, l := range doc.Layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: l.Blob, Size: 100})
	}
	f.tag(name, f.addJSON(ocispec.MediaTypeImageManifest, m))
}

// source writes the names and opens the folder.
func (f *folder) source() inspect.Source {
	f.t.Helper()
	b, err := json.Marshal(f.index)
	must(f.t, err)
	must(f.t, os.WriteFile(filepath.Join(f.dir, "index.json"), b, 0o644))
	src, err := source.OpenLayout(f.dir)
	must(f.t, err)
	return src
}

func captured(t testing.TB, layout string) inspect.Source {
	t.Helper()
	src, err := source.OpenLayout(filepath.Join("testdata", "layouts", layout))
	must(t, err)
	return src
}

func read(t testing.TB, src inspect.Source, name string) *inspect.Cache {
	t.Helper()
	c, err := inspect.Read(t.Context(), src, name, "")
	must(t, err)
	return c
}

// tarOf is an archive of files, in order.
func tarOf(t testing.TB, files map[string]string, mode int64) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		must(t, w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(files[name]))}))
		_, err := w.Write([]byte(files[name]))
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}
