package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
)

// written is a layer of files in the short form that tests use: "dir/" is a folder, "a=b" a file with the
// content b, "a->b" a symbolic link, "a=>b" a hard link.
func written(t testing.TB, files ...string) *Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f, Mode: 0o644, Typeflag: tar.TypeReg}
		var content string
		if name, target, ok := strings.Cut(f, "->"); ok {
			h.Name, h.Linkname, h.Typeflag = name, target, tar.TypeSymlink
		} else if name, target, ok := strings.Cut(f, "=>"); ok {
			h.Name, h.Linkname, h.Typeflag = name, target, tar.TypeLink
		} else if name, text, ok := strings.Cut(f, "="); ok {
			h.Name, content = name, text
		} else if strings.HasSuffix(f, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		h.Size = int64(len(content))
		err := w.WriteHeader(h)
		if err == nil {
			_, err = io.WriteString(w, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return fromBytes(buf.Bytes(), nil).Layer
}

// TestMerge has the rules of the image specification.
func TestMerge(t *testing.T) {
	tests := []struct {
		name   string
		layers [][]string // base first
		want   []string   // paths, with the layer that each is of
	}{
		{"one layer", [][]string{{"a/", "a/b=1"}}, []string{"a@0", "a/b@0"}},
		{"a file is replaced", [][]string{{"a=1", "b=1"}, {"a=2"}}, []string{"a@1", "b@0"}},
		{"a whiteout takes a file", [][]string{{"d/", "d/a=1", "d/b=1"}, {"d/.wh.a"}}, []string{"d@0", "d/b@0"}},
		{"a whiteout takes a folder", [][]string{{"d/", "d/e/", "d/e/f=1"}, {".wh.d"}}, nil},
		{
			"a whiteout does not take a namesake that is longer",
			[][]string{{"d/", "dd/", "dd/a=1"}, {".wh.d"}},
			[]string{"dd@0", "dd/a@0"},
		},
		{
			"what a layer takes and has again",
			[][]string{{"d/", "d/a=1"}, {".wh.d", "d/", "d/b=1"}},
			[]string{"d@1", "d/b@1"},
		},
		{
			"the mark may come last",
			[][]string{{"d/", "d/a=1"}, {"d/", "d/b=1", "d/.wh..wh..opq"}},
			[]string{"d@1", "d/b@1"},
		},
		{
			"an opaque folder hides what is below",
			[][]string{{"d/", "d/a/", "d/a/x=1", "e=1"}, {"d/.wh..wh..opq"}},
			[]string{"d@0", "e@0"},
		},
		{"an opaque root", [][]string{{"a=1"}, {".wh..wh..opq", "b=1"}}, []string{"b@1"}},
		{
			"a file in the place of a folder",
			[][]string{{"d/", "d/a=1"}, {"d=1"}},
			[]string{"d@1"},
		},
		{"a folder in the place of a file", [][]string{{"d=1"}, {"d/", "d/a=1"}}, []string{"d@1", "d/a@1"}},
		{
			"a link in the place of a folder",
			[][]string{{"d/", "d/a=1"}, {"d->e"}},
			[]string{"d@1"},
		},
		{
			"a whiteout holds for all layers below",
			[][]string{{"a=1"}, {"a=2"}, {".wh.a"}},
			nil,
		},
		{"a whiteout does not hold above", [][]string{{"a=1"}, {".wh.a"}, {"a=3"}}, []string{"a@2"}},
		{"marks of aufs are no files", [][]string{{".wh..wh.plnk/", ".wh..wh.aufs", "a=1"}}, []string{"a@0"}},
		{"paths cannot lead out", [][]string{{"../../a=1", "/b=1", "./c=1", "d/../../e=1"}}, []string{"a@0", "b@0", "c@0", "e@0"}},
		{"a path twice in one layer", [][]string{{"a=1", "a=2"}}, []string{"a@0"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var layers []*Layer
			for _, files := range tc.layers {
				layers = append(layers, written(t, files...))
			}
			var got []string
			for e, err := range Merge(t.Context(), layers, Options{}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%s@%d", e.Path, e.Layer))
			}
			slices.SortFunc(got, func(a, b string) int {
				return strings.Compare(strings.ReplaceAll(a, "@", " "), strings.ReplaceAll(b, "@", " "))
			})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCat(t *testing.T) {
	layers := []*Layer{
		written(t, "etc/", "etc/a=base", "etc/b=gone", "dir/", "dir/file=in dir", "up->../dir", "loop->loop", "abs->/etc/a"),
		written(t, "etc/a=middle", "etc/hard=>etc/a", "etc/.wh.b", "link->dir/file", "chain->link"),
		written(t, "etc/a=top", "empty="),
	}
	tests := []struct{ path, want, fails string }{
		{path: "etc/a", want: "top"},
		{path: "/etc/a", want: "top"},
		{path: "etc/hard", want: "middle"},
		{path: "etc/b", fails: "file does not exist"},
		{path: "nothing", fails: "file does not exist"},
		{path: "etc", fails: "etc is no file but a folder"},
		{path: "link", want: "in dir"},
		{path: "chain", want: "in dir"},
		{path: "up/file", want: "in dir"},
		{path: "abs", want: "top"},
		{path: "../../etc/a", want: "top"},
		{path: "empty", want: ""},
		{path: "loop", fails: "more than 40 links"},
	}
	for _, tc := range tests {
		t.Run(tc.path, func(t *testing.T) {
			var out strings.Builder
			_, err := Cat(t.Context(), layers, tc.path, &out)
			if tc.fails == "" && (err != nil || out.String() != tc.want) {
				t.Errorf("%q, not %q: %v", out.String(), tc.want, err)
			}
			if tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)) {
				t.Errorf("error %v, which does not say %q", err, tc.fails)
			}
		})
	}
}

// TestCatOfRealLayers reads the same files from one build in every compression; of estargz and zstd:chunked
// with their tables of contents.
func TestCatOfRealLayers(t *testing.T) {
	for _, name := range []string{"gzip", "zstd", "estargz", "uncompressed", "image", "zstd-chunked"} {
		t.Run(name, func(t *testing.T) {
			layers := captured(t, name)
			for path, want := range map[string]string{
				"data/large": strings.Repeat("x", 70000),
				"data/two":   "two\n",
				"a/left":     "left",
				"data/soft":  "three\n", // follows a link
			} {
				if (name == "image" || name == "zstd-chunked") && strings.HasPrefix(path, "data/") && path != "data/two" {
					path = "b" + strings.TrimPrefix(path, "data")
				}
				var out strings.Builder
				if _, err := Cat(t.Context(), layers, path, &out); err != nil || out.String() != want {
					t.Errorf("%s has %d bytes, %.20q: %v", path, out.Len(), out.String(), err)
				}
			}
		})
	}
}

// huge is an uncompressed layer with files of 8 GiB, which nobody has: only what is between them can be read.
func huge(t testing.TB, files int) (l *Layer, read *int64) {
	t.Helper()
	const size = 8 << 30
	var heads [][]byte
	for i := range files {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint("large", i), Size: size, Mode: 0o644, Format: tar.FormatPAX}); err != nil {
			t.Fatal(err)
		}
		heads = append(heads, buf.Bytes())
	}
	step := int64(len(heads[0])) + size
	read = new(int64)
	at := func(p []byte, off int64) {
		clear(p)
		for n := range p {
			if i := (off + int64(n)) / step; i < int64(files) && (off+int64(n))%step < step-size {
				p[n] = heads[i][(off+int64(n))%step]
			}
		}
		*read += int64(len(p))
	}
	total := step*int64(files) + 1024
	return &Layer{Digest: "sha256:huge", Size: total, Open: func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		if n < 0 {
			n = total - off
		}
		return io.NopCloser(&generated{at: at, off: off, end: off + n}), nil
	}}, read
}

type generated struct {
	at       func(p []byte, off int64)
	off, end int64
}

func (g *generated) Read(p []byte) (int, error) {
	if g.off == g.end {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), g.end-g.off)]
	g.at(p, g.off)
	g.off += int64(len(p))
	return len(p), nil
}

// TestListingALargeLayerDoesNotReadIt holds for what is not compressed, and for what has a table of contents.
func TestListingALargeLayerDoesNotReadIt(t *testing.T) {
	l, read := huge(t, 3)
	if got := list(t, l, Options{}); len(got) != 3 || got[2].Size != 8<<30 {
		t.Errorf("entries %+v", got)
	}
	if *read > 4<<20 {
		t.Errorf("%d bytes were read of a layer that lists in some kilobytes", *read)
	}
	d := manifestOf(t, "estargz").Layers[0]
	small := captured(t, "estargz")[0]
	c := countedLayer(small)
	if got := list(t, c.Layer, Options{Hash: true}); len(got) == 0 {
		t.Error("nothing is listed")
	}
	if n := c.read.Load(); n >= d.Size {
		t.Errorf("%d of %d bytes were read though there is a table of contents", n, d.Size)
	}
}

func countedLayer(l *Layer) counted {
	c := fromBytes(nil, l.Annotations)
	open := l.Open
	c.Layer = &Layer{Digest: l.Digest, Size: l.Size, Annotations: l.Annotations, Open: func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		r, err := open(ctx, off, n)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(&countingReader{r, c.read}), nil
	}}
	return c
}

// TestBrokenLayers end with an error, and not with a listing that looks whole.
func TestBrokenLayers(t *testing.T) {
	whole := written(t, "a="+strings.Repeat("a", 600), "b=2")
	r, err := whole.Open(t.Context(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"cut in a header":  b[:1600],
		"cut in a content": b[:700],
		"cut gzip":         zipped.Bytes()[:zipped.Len()-12],
		"no tar":           bytes.Repeat([]byte("no tar "), 200),
		"gzip of no tar":   append(slices.Clone(gzipMagic), bytes.Repeat([]byte{1}, 600)...),
		"damaged zstd":     append(slices.Clone(zstdMagic), bytes.Repeat([]byte{0xff}, 600)...),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			var failed error
			for _, err := range fromBytes(b, nil).Entries(t.Context(), Options{Hash: true}) {
				failed = err
			}
			if failed == nil || !strings.Contains(failed.Error(), "read layer sha256:test") {
				t.Errorf("error %v", failed)
			}
		})
	}
}

// TestCancelledListing ends at once.
func TestCancelledListing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := written(t, "a=1", "b=1", "c=1")
	seen, failed := 0, error(nil)
	for _, err := range l.Entries(ctx, Options{}) {
		cancel()
		if failed = err; err == nil {
			seen++
		}
	}
	if seen != 1 || !errors.Is(failed, context.Canceled) {
		t.Errorf("%d entries, then %v", seen, failed)
	}
}

func FuzzEntries(f *testing.F) {
	for _, name := range []string{"gzip", "zstd", "estargz", "zstd-chunked"} {
		for _, l := range captured(f, name) {
			r, err := l.Open(f.Context(), 0, -1)
			if err != nil {
				f.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l := fromBytes(b, map[string]string{tocDigest: ""}).Layer
		for _, l := range []*Layer{l, fromBytes(b, map[string]string{tocDigest: "sha256:x"}).Layer} {
			for e, err := range l.Entries(t.Context(), Options{}) {
				if err == nil && (strings.HasPrefix(e.Path, "/") || strings.HasPrefix(e.Path, "..")) {
					t.Fatalf("path %q leads out", e.Path)
				}
			}
			_, err := Cat(t.Context(), []*Layer{l}, "data/large", io.Discard)
			if err != nil && errors.Is(err, iofs.ErrInvalid) {
				t.Fatal(err)
			}
		}
	})
}
