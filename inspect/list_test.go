package inspect_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/inspect"
)

func listed(t testing.TB, src inspect.Source) map[string]inspect.Summary {
	t.Helper()
	all := map[string]inspect.Summary{}
	for s, err := range inspect.List(t.Context(), src, func(string) bool { return true }) {
		must(t, err)
		all[s.Name] = s
	}
	return all
}

// bytesIn counts the blobs of a captured layout on disk.
func bytesIn(t testing.TB, layout string) inspect.Count {
	t.Helper()
	files, err := os.ReadDir(filepath.Join("testdata", "layouts", layout, "blobs", "sha256"))
	must(t, err)
	var c inspect.Count
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		c.Blobs++
		c.Bytes += info.Size()
	}
	return c
}

// TestListCountsEachBlobOnce: of a layout with one name the sizes are those of its files.
func TestListCountsEachBlobOnce(t *testing.T) {
	for layout, want := range map[string]struct {
		name string
		kind inspect.Kind
	}{
		"gzip": {"latest", inspect.KindCache}, "estargz": {"latest", inspect.KindCache}, "image": {"example.com/app:v1", inspect.KindImage},
	} {
		there := bytesIn(t, layout)
		s := listed(t, captured(t, layout))[want.name]
		if s.Kind != want.kind || s.Size != there.Bytes || s.Blobs != there.Blobs || s.Local != s.Size || s.Missing != 0 || s.Broken != "" {
			t.Errorf("%s with %+v is listed as %+v", layout, there, s)
		}
		if s.Layers != s.Blobs-2 { // without manifest and config
			t.Errorf("%s: %d of %d blobs are layers", layout, s.Layers, s.Blobs)
		}
	}
}

// TestListTellsWhatIsBroken, each by its name, and lists the rest.
func TestListTellsWhatIsBroken(t *testing.T) {
	f := newFolder(t)
	f.copy("good", "gzip")
	f.copy("gap", "zstd")
	f.tag("gone", ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:" + ocispec.DescriptorEmptyJSON.Digest[7:], Size: 2})
	f.tag("damaged", f.add(ocispec.MediaTypeImageManifest, []byte(`{"config":{"digest":"x"}}`)))
	f.tag("blob", f.add("text/plain", []byte("no manifest")))
	changed := f.add(ocispec.MediaTypeImageManifest, []byte(`{"manifests":[]}`))
	f.tag("changed", changed)
	must(t, os.WriteFile(f.path(changed.Digest), []byte(`{"manifests":[] }`), 0o644))
	src := f.source()
	gap := read(t, src, "gap")
	must(t, os.Remove(f.path(gap.Layers[0].Digest)))

	all := listed(t, src)
	if s := all["good"]; s.Broken != "" || s.Missing != 0 {
		t.Errorf("good: %+v", s)
	}
	if s := all["gap"]; s.Missing != 1 || s.Broken != "" {
		t.Errorf("gap: %+v", s)
	}
	if s := all["blob"]; s.Kind != inspect.KindOther || s.Blobs != 1 || s.Broken != "" {
		t.Errorf("blob: %+v", s)
	}
	for name, says := range map[string]string{
		"gone": "no such file", "damaged": `digest "x"`, "changed": "its bytes are not what its digest says",
	} {
		if s := all[name]; !strings.Contains(s.Broken, says) {
			t.Errorf("%s: %q does not say %q", name, s.Broken, says)
		}
	}
}

// TestListStops when nobody wants more.
func TestListStops(t *testing.T) {
	f := newFolder(t)
	f.copy("a", "gzip")
	f.copy("b", "zstd")
	n := 0
	for _, err := range inspect.List(t.Context(), f.source(), func(string) bool { return true }) {
		must(t, err)
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d names", n)
	}
}

// TestDiskUsage: two names that share layers, a third that does not, and a blob that none reaches.
func TestDiskUsage(t *testing.T) {
	f := newFolder(t)
	blob := func(text string) ocispec.Descriptor { return f.add(ocispec.MediaTypeImageLayer, []byte(text)) }
	shared, own, lone := blob("shared....."), blob("own"), blob("lone")
	f.add("", []byte("nobody"))
	name := func(name string, layers ...ocispec.Descriptor) inspect.Count {
		config := f.add(ocispec.MediaTypeImageConfig, []byte(`{"a":"`+name+`"}`))
		m := f.addJSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers})
		f.tag(name, m)
		return inspect.Count{Blobs: 2, Bytes: config.Size + m.Size}
	}
	docsA, docsB, docsC := name("a", shared, own, shared), name("b", shared), name("c", lone)
	f.tag("a2", f.index.Manifests[0])
	u, err := inspect.DiskUsage(t.Context(), f.source())
	must(t, err)
	plus := func(c inspect.Count, more ...ocispec.Descriptor) inspect.Count {
		for _, d := range more {
			c.Blobs++
			c.Bytes += d.Size
		}
		return c
	}
	want := map[string][2]inspect.Count{ // total and unique
		"a":  {plus(docsA, shared, own), {}},
		"a2": {plus(docsA, shared, own), {}},
		"b":  {plus(docsB, shared), docsB},
		"c":  {plus(docsC, lone), plus(docsC, lone)},
	}
	got := map[string][2]inspect.Count{}
	for _, n := range u.Names {
		got[n.Name] = [2]inspect.Count{n.Total, n.Unique}
		if n.Shared.Blobs+n.Unique.Blobs != n.Total.Blobs || n.Shared.Bytes+n.Unique.Bytes != n.Total.Bytes {
			t.Errorf("unique and shared are not the total: %+v", n)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if want := plus(docsA, shared, own); u.Shared != want {
		t.Errorf("shared is %+v, not %+v", u.Shared, want)
	}
	if (u.Unreferenced != inspect.Count{Blobs: 1, Bytes: 6}) || u.Missing.Blobs != 0 {
		t.Errorf("unreferenced %+v, missing %+v", u.Unreferenced, u.Missing)
	}
	if u.Total.Bytes != u.Reached.Bytes+6 {
		t.Errorf("total %+v, reached %+v", u.Total, u.Reached)
	}
	blobs, err := inspect.UsageOf(t.Context(), f.source(), "a")
	must(t, err)
	for _, b := range blobs {
		if want := map[bool]int{true: 3, false: 2}[b.Digest == shared.Digest]; b.Names != want {
			t.Errorf("blob %s is of %d names, not %d", b.Digest, b.Names, want)
		}
	}
}
