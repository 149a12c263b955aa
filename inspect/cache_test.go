package inspect_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/records"
)

// paths lists the files of a stack.
func paths(t testing.TB, c *inspect.Cache, which string, own bool) []string {
	t.Helper()
	stack, err := c.Stack(which)
	must(t, err)
	var all []string
	for e, err := range c.Files(t.Context(), stack, own) {
		must(t, err)
		all = append(all, e.Path)
	}
	return all
}

// TestFilesOfTheResult are those of the image that the same build made, in every compression.
func TestFilesOfTheResult(t *testing.T) {
	want := []string{
		"a", "a/left", "b", "b/hard", "b/large", "b/one", "b/soft", "b/three", "b/two",
		"bin", "bin/do", "data", "data/two", "dev", "dir", "dir/new", "left", "proc", "result", "sys",
	}
	for layout, name := range map[string]string{
		"gzip": "latest", "zstd": "latest", "estargz": "latest", "uncompressed": "latest",
		"image": "example.com/app:v1", "zstd-chunked": "v1",
	} {
		if diff := cmp.Diff(want, paths(t, read(t, captured(t, layout), name), "", false)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", layout, diff)
		}
	}
}

// TestStack chooses by layer and by record.
func TestStack(t *testing.T) {
	c := read(t, captured(t, "gzip"), "latest")
	for i, r := range c.Graph.Records {
		res, ok := r.Newest()
		if !ok {
			continue
		}
		want := c.Graph.LayersOf(res)
		stack, err := c.Stack(r.Digest.String())
		must(t, err)
		if len(stack) != len(want) || stack[len(stack)-1].Digest != c.Graph.Layers[res.Top].Blob {
			t.Errorf("record %d: %d layers, not %d", i, len(stack), len(want))
		}
	}
	top := c.Layers[0].Digest
	short, err := c.Stack(top.Encoded()[:12])
	must(t, err)
	if short[len(short)-1].Digest != top {
		t.Errorf("the layer that is asked for is not the top")
	}
	if _, err := c.Stack("zzz"); err == nil || !strings.Contains(err.Error(), `begins with "zzz"`) {
		t.Errorf("error %v", err)
	}
	image := read(t, captured(t, "image"), "example.com/app:v1")
	all, err := image.Stack("")
	must(t, err)
	some, err := image.Stack(all[2].Digest.String())
	must(t, err)
	if !slices.EqualFunc(all[:3], some, func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest }) {
		t.Errorf("of %d layers up to the third there are %d", len(all), len(some))
	}
}

// TestCatReadsThroughLayers, and says what is not there.
func TestCatReadsThroughLayers(t *testing.T) {
	c := read(t, captured(t, "zstd"), "latest")
	stack, err := c.Stack("")
	must(t, err)
	var out bytes.Buffer
	must(t, c.Cat(t.Context(), stack, "/b/hard", &out))
	if out.String() != "three\n" {
		t.Errorf("it is %q", out.String())
	}
	if err := c.Cat(t.Context(), stack, "/data/one", &out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that a later layer deleted: %v", err)
	}
}

// TestIndexOfPlatforms asks for a choice if there is one, and passes over attestations.
func TestIndexOfPlatforms(t *testing.T) {
	f := newFolder(t)
	image := func(text string) ocispec.Descriptor {
		return f.addJSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, Config: f.add(ocispec.MediaTypeImageConfig, []byte("{}")),
			Layers: []ocispec.Descriptor{f.add(ocispec.MediaTypeImageLayer, []byte(text))},
		})
	}
	of := func(d ocispec.Descriptor, os, arch string) ocispec.Descriptor {
		d.Platform = &ocispec.Platform{OS: os, Architecture: arch}
		return d
	}
	amd, arm, att := of(image("amd"), "linux", "amd64"), of(image("arm"), "linux", "arm64"), of(image("att"), "unknown", "unknown")
	index := func(all ...ocispec.Descriptor) ocispec.Descriptor {
		return f.addJSON(ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: all})
	}
	f.tag("both", index(amd, arm, att))
	f.tag("one", index(amd, att))
	src := f.source()
	if c := read(t, src, "one"); c.Layers[0].Size != 3 || c.Kind != inspect.KindImage || len(c.Closure) != 6 {
		t.Errorf("one: %+v", c)
	}
	c, err := inspect.Read(t.Context(), src, "both", "linux/arm64")
	must(t, err)
	if diff := cmp.Diff([]string{"arm"}, []string{string(mustRead(t, f.path(c.Layers[0].Digest)))}); diff != "" {
		t.Error(diff)
	}
	for platform, says := range map[string]string{"": "linux/amd64, linux/arm64", "linux/s390x": "no image for linux/s390x"} {
		if _, err := inspect.Read(t.Context(), src, "both", platform); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("platform %q: error %v", platform, err)
		}
	}
	if s := listed(t, src)["both"]; s.Kind != inspect.KindIndex || s.Layers != 3 {
		t.Errorf("both: %+v", s)
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// TestDocumentTellsEverything of a real cache.
func TestDocumentTellsEverything(t *testing.T) {
	c := read(t, captured(t, "gzip"), "latest")
	doc := c.Document()
	if doc.Kind != inspect.KindCache || doc.Size != bytesIn(t, "gzip").Bytes || len(doc.Layers) != len(c.Layers) {
		t.Errorf("%+v", doc)
	}
	results := 0
	for i, r := range doc.Records {
		if r.Index != i || r.Digest == "" || r.Kind == "" {
			t.Errorf("record %d: %+v", i, r)
		}
		if len(r.Layers) > 0 {
			results++
		}
	}
	if results != 10 { // as many as the build has operations
		t.Errorf("%d records have a result", results)
	}
	for _, l := range doc.Layers {
		if l.DiffID == "" || l.CreatedAt.IsZero() || l.Size == 0 {
			t.Errorf("layer %+v", l)
		}
	}
	b, err := json.Marshal(doc)
	must(t, err)
	var back inspect.Document
	must(t, json.Unmarshal(b, &back))
	if diff := cmp.Diff(doc, back); diff != "" {
		t.Errorf("as JSON it is another (-before +after):\n%s", diff)
	}
}

// TestCompare of a cache with itself, with one of another compression, and with an image.
func TestCompare(t *testing.T) {
	f := newFolder(t)
	f.copy("gzip", "gzip")
	f.copy("zstd", "zstd")
	f.copy("image", "image")
	src := f.source()
	gzip, zstd, image := read(t, src, "gzip"), read(t, src, "zstd"), read(t, src, "image")

	same, err := inspect.Compare(t.Context(), gzip, gzip, true)
	must(t, err)
	if same.Blobs.OnlyA.Blobs+same.Blobs.OnlyB.Blobs+same.Records.OnlyA.Blobs+same.Records.OnlyB.Blobs+len(same.Files) != 0 {
		t.Errorf("it differs from itself: %+v", same)
	}
	other, err := inspect.Compare(t.Context(), gzip, zstd, true)
	must(t, err)
	if other.Records.OnlyA.Blobs+other.Records.OnlyB.Blobs != 0 || other.Layers.Both.Blobs != 0 || len(other.Files) != 0 {
		t.Errorf("the same build in another compression: %+v", other)
	}
	if other.Layers.OnlyA.Blobs != len(gzip.Layers) || other.Layers.OnlyB.Blobs != len(zstd.Layers) {
		t.Errorf("layers %+v", other.Layers)
	}
	mixed, err := inspect.Compare(t.Context(), gzip, image, false)
	must(t, err)
	if mixed.Records != nil || mixed.Layers.Both.Blobs == 0 {
		t.Errorf("a cache and an image of one build: %+v", mixed)
	}
}

// TestCompareFiles has a change of each kind.
func TestCompareFiles(t *testing.T) {
	f := newFolder(t)
	tag := func(name string, files map[string]string, mode int64) {
		layer := f.add(ocispec.MediaTypeImageLayer, tarOf(t, files, mode))
		f.tag(name, f.addJSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, Config: f.add(ocispec.MediaTypeImageConfig, []byte("{}")), Layers: []ocispec.Descriptor{layer},
		}))
	}
	tag("a", map[string]string{"same": "1", "gone": "22", "other": "333"}, 0o644)
	tag("b", map[string]string{"same": "1", "new": "4444", "other": "55555"}, 0o644)
	tag("c", map[string]string{"same": "1"}, 0o600)
	src := f.source()
	d, err := inspect.Compare(t.Context(), read(t, src, "a"), read(t, src, "b"), true)
	must(t, err)
	want := []inspect.FileChange{
		{Path: "gone", Change: inspect.Removed, SizeA: 2},
		{Path: "new", Change: inspect.Added, SizeB: 4},
		{Path: "other", Change: inspect.Content, SizeA: 3, SizeB: 5},
	}
	if diff := cmp.Diff(want, d.Files); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	d, err = inspect.Compare(t.Context(), read(t, src, "b"), read(t, src, "c"), true)
	must(t, err)
	if !slices.Contains(d.Files, inspect.FileChange{Path: "same", Change: inspect.Metadata, SizeA: 1, SizeB: 1}) {
		t.Errorf("a changed mode is not told: %+v", d.Files)
	}
}

// debugOf serves what a real buildkitd said of a cache's digests.
func debugOf(t testing.TB, path string) *inspect.Buildkitd {
	t.Helper()
	type entry map[string]any
	by := map[string]entry{}
	var all []struct {
		Debug []entry `json:"debug"`
	}
	must(t, json.Unmarshal(mustRead(t, path), &all))
	for _, r := range all {
		for _, e := range r.Debug {
			by[e["digest"].(string)] = e
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, ok := by[r.URL.Query().Get("digest")]
		if r.URL.Path != "/debug/cache/lookup" || !ok {
			http.Error(w, "failed to get digest", http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(e)
	}))
	t.Cleanup(s.Close)
	return &inspect.Buildkitd{URL: s.URL}
}

// TestExplain says in one place what is to be said of a changed line: the step, what the old cache has
// instead, what it made, and, where a buildkitd remembers, the command.
func TestExplain(t *testing.T) {
	f := newFolder(t)
	f.copy("base", "gzip")
	f.cacheOf("run", "run.json")
	f.cacheOf("file", "file.json")
	src := f.source()
	log, err := os.Open(filepath.Join("testdata", "why", "run.rawjson"))
	must(t, err)
	defer log.Close()
	build, err := records.ParseLog(log)
	must(t, err)
	w, err := inspect.Explain(t.Context(), read(t, src, "base"), read(t, src, "run"), build, debugOf(t, filepath.Join("testdata", "why", "run.debug.json")))
	must(t, err)
	if len(w.Departures) != 1 || w.Known == 0 || w.Unknown == 0 || w.Log == nil || len(w.Notes) > 0 {
		t.Fatalf("%+v", w)
	}
	d := w.Departures[0]
	if d.Step != `[left 1/2] RUN ["/bin/do", "write", "/left", "LEFT", "rm", "/data/one", "-"]` || d.Reason != records.NewOperation {
		t.Errorf("step %q, reason %q", d.Step, d.Reason)
	}
	if !strings.Contains(d.Plain, `exec ["/bin/do" "write" "/left" "LEFT" "rm" "/data/one" "-"] in /`) {
		t.Errorf("it was made of %q", d.Plain)
	}
	if d.After != w.Unknown-1 {
		t.Errorf("%d steps after it, of %d that are new", d.After, w.Unknown)
	}

	w, err = inspect.Explain(t.Context(), read(t, src, "base"), read(t, src, "file"), nil, nil)
	must(t, err)
	if d := w.Departures[0]; d.Reason != records.NewInput || len(d.Changed) != 1 || d.Changed[0].Input != 1 || len(d.Changed[0].Old) != 1 {
		t.Errorf("%+v", d)
	}
	if _, err := inspect.Explain(t.Context(), read(t, captured(t, "image"), "example.com/app:v1"), read(t, src, "run"), nil, nil); err == nil {
		t.Error("an image has no records")
	}
}

// TestExplainLog has the log alone, with and without the cache that the build wrote.
func TestExplainLog(t *testing.T) {
	f := newFolder(t)
	f.cacheOf("file", "file.json")
	now := read(t, f.source(), "file")
	parse := func(name string) *records.Build {
		log, err := os.Open(filepath.Join("testdata", "why", name))
		must(t, err)
		defer log.Close()
		b, err := records.ParseLog(log)
		must(t, err)
		return b
	}
	w, err := inspect.ExplainLog(t.Context(), nil, parse("file.plain"), nil)
	must(t, err)
	if len(w.Departures) != 1 || w.Departures[0].Step != "[right 1/2] COPY three large /data/" || w.Departures[0].Record != nil {
		t.Errorf("%+v", w)
	}
	w, err = inspect.ExplainLog(t.Context(), now, parse("file.rawjson"), nil)
	must(t, err)
	if len(w.Departures) != 1 || w.Departures[0].Record == nil || w.Departures[0].Record.Kind != records.Copy {
		t.Errorf("%+v", w)
	}
	w, err = inspect.ExplainLog(t.Context(), now, parse("first.plain"), nil)
	must(t, err)
	if len(w.Departures) < 2 || len(w.Notes) != 2 {
		t.Errorf("it does not say that it guesses: %+v", w)
	}
}

// TestBuildkitdThatDoesNotAnswer is an error that names it, and one that does not know is none.
func TestBuildkitdThatDoesNotAnswer(t *testing.T) {
	b := debugOf(t, filepath.Join("testdata", "why", "run.debug.json"))
	if text, err := b.Plaintext(t.Context(), "sha256:"+ocispec.DescriptorEmptyJSON.Digest[7:]); err != nil || text != "" {
		t.Errorf("%q, %v", text, err)
	}
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	if _, err := (&inspect.Buildkitd{URL: s.URL}).Plaintext(t.Context(), "sha256:x"); err == nil || !strings.Contains(err.Error(), "--save-cache-debug") {
		t.Errorf("error %v", err)
	}
}
