package layer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const layouts = "../testdata/layouts"

// counted is a layer whose bytes are counted as they are read.
type counted struct {
	*Layer
	read *atomic.Int64
}

// fromBytes is a layer in memory.
func fromBytes(b []byte, annotations map[string]string) counted {
	read := new(atomic.Int64)
	return counted{read: read, Layer: &Layer{
		Digest: "sha256:test", Size: int64(len(b)), Annotations: annotations,
		Open: func(_ context.Context, off, n int64) (io.ReadCloser, error) {
			if n < 0 {
				n = int64(len(b)) - off
			}
			if off < 0 || off+n > int64(len(b)) {
				return nil, fmt.Errorf("%d bytes at %d of %d: %w", n, off, len(b), io.ErrUnexpectedEOF)
			}
			return io.NopCloser(&countingReader{bytes.NewReader(b[off : off+n]), read}), nil
		},
	}}
}

type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// manifestOf reads the only manifest of a captured layout.
func manifestOf(t testing.TB, name string) ocispec.Manifest {
	t.Helper()
	var index ocispec.Index
	var m ocispec.Manifest
	readJSON(t, filepath.Join(layouts, name, "index.json"), &index)
	readJSON(t, blobPath(name, index.Manifests[0]), &m)
	return m
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func blobPath(name string, d ocispec.Descriptor) string {
	return filepath.Join(layouts, name, "blobs", "sha256", d.Digest.Encoded())
}

// captured are the layers of a captured layout.
func captured(t testing.TB, name string) []*Layer {
	t.Helper()
	var all []*Layer
	for _, d := range manifestOf(t, name).Layers {
		b, err := os.ReadFile(blobPath(name, d))
		if err != nil {
			t.Fatal(err)
		}
		l := fromBytes(b, d.Annotations).Layer
		l.Digest = d.Digest
		all = append(all, l)
	}
	return all
}

func list(t testing.TB, l *Layer, o Options) []Entry {
	t.Helper()
	var all []Entry
	for e, err := range l.Entries(t.Context(), o) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// TestEntriesAreThoseOfTar compares every layer of real builds, in every compression, with what tar lists.
func TestEntriesAreThoseOfTar(t *testing.T) {
	for _, name := range []string{"gzip", "zstd", "estargz", "uncompressed", "image", "zstd-chunked"} {
		t.Run(name, func(t *testing.T) {
			for _, l := range captured(t, name) {
				want := tarLists(t, l)
				var got []string
				for _, e := range list(t, l, Options{}) {
					got = append(got, tarLine(e))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("layer %s (-tar +layoutfs):\n%s", l.Digest, diff)
				}
			}
		})
	}
}

// tarLists is what GNU tar lists: mode, size, path and links.
func tarLists(t *testing.T, l *Layer) []string {
	t.Helper()
	a, err := l.archive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "tar", "--numeric-owner", "-tvf", "-")
	cmd.Stdin = struct{ io.Reader }{a}
	out, err := cmd.Output()
	if err = errors.Join(err, a.close()); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		name := strings.TrimSuffix(f[5], "/")
		if notFiles[name] {
			continue
		}
		lines = append(lines, strings.Join(append([]string{f[0], f[1], f[2], name}, f[6:]...), " "))
	}
	return lines
}

// tarLine is an entry as tarLists has it.
func tarLine(e Entry) string {
	mode, link, name := e.Mode.String(), "", e.Path
	switch {
	case e.Hides == Itself:
		return "---------- 0/0 0 " + filepath.Join(filepath.Dir(e.Path), ".wh."+filepath.Base(e.Path))
	case e.Hard:
		mode, link = "h"+mode[1:], " link to "+e.Link
	case e.Mode&iofs.ModeSymlink != 0:
		mode, link = "l"+mode[1:], " -> "+e.Link
	}
	return fmt.Sprintf("%s %d/%d %d %s%s", mode, e.UID, e.GID, e.Size, name, link)
}

// TestTablesOfContentsSayTheSame: what is listed with a table of contents is what the archive holds, digests
// included, and costs less than the layer.
func TestTablesOfContentsSayTheSame(t *testing.T) {
	for _, name := range []string{"estargz", "zstd-chunked"} {
		t.Run(name, func(t *testing.T) {
			for _, l := range captured(t, name) {
				if toc, err := l.findTOC(t.Context()); err != nil || toc == nil {
					t.Fatalf("layer %s has no table of contents: %v", l.Digest, err)
				}
				plain := &Layer{Digest: l.Digest, Size: l.Size, Open: l.Open} // too small to look for one
				if toc, err := plain.findTOC(t.Context()); err != nil || toc != nil {
					t.Fatalf("it is looked for where it is not worth it: %v", err)
				}
				want, got := list(t, plain, Options{Hash: true}), list(t, l, Options{Hash: true})
				for i := range got {
					got[i].ModTime, want[i].ModTime = got[i].ModTime.UTC(), want[i].ModTime.UTC()
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("layer %s (-archive +table):\n%s", l.Digest, diff)
				}
			}
		})
	}
}

// TestDamagedTablesAreNotBelieved changes each byte of a table of contents whose digest is known.
func TestDamagedTablesAreNotBelieved(t *testing.T) {
	for _, name := range []string{"estargz", "zstd-chunked"} {
		t.Run(name, func(t *testing.T) {
			d := manifestOf(t, name).Layers[0]
			b, err := os.ReadFile(blobPath(name, d))
			if err != nil {
				t.Fatal(err)
			}
			toc, err := fromBytes(b, d.Annotations).findTOC(t.Context())
			if err != nil || toc == nil {
				t.Fatal("no table of contents", err)
			}
			want := list(t, fromBytes(b, d.Annotations).Layer, Options{})
			for i := toc.off; i < toc.off+toc.size; i++ {
				damaged := slices.Clone(b)
				damaged[i] ^= 0x20
				var got []Entry
				var failed error
				for e, err := range fromBytes(damaged, d.Annotations).Entries(t.Context(), Options{}) {
					if failed = err; err == nil {
						got = append(got, e)
					}
				}
				if failed == nil && !cmp.Equal(want, got) {
					t.Fatalf("byte %d: other entries and no error", i)
				}
			}
		})
	}
}

func TestCompressionIsToldFromBytes(t *testing.T) {
	for name, want := range map[string]Compression{
		"gzip": Gzip, "zstd": Zstd, "estargz": EStargz, "uncompressed": Uncompressed, "zstd-chunked": ZstdChunked,
	} {
		if got, err := captured(t, name)[0].Compression(t.Context()); err != nil || got != want {
			t.Errorf("%s is taken for %s: %v", name, got, err)
		}
	}
}

// TestEmptyLayerWithATable: stargz-snapshotter writes null in the place of no entries.
func TestEmptyLayerWithATable(t *testing.T) {
	for doc, want := range map[string]int{
		`{"version":1,"entries":null}`: 0, `{"version":1,"entries":[]}`: 0, `{"entries":[{"name":"a","type":"reg"}],"x":1}`: 1,
	} {
		n := 0
		if _, err := entries(t.Context(), strings.NewReader(doc), func(*tocEntry) bool { n++; return true }); err != nil || n != want {
			t.Errorf("%s has %d entries: %v", doc, n, err)
		}
	}
	for _, doc := range []string{`{"version":1}`, `{"entries":1}`, `{"entries":{}}`, `[]`, ``} {
		if _, err := entries(t.Context(), strings.NewReader(doc), func(*tocEntry) bool { return true }); err == nil {
			t.Errorf("%q is taken for a table of contents", doc)
		}
	}
}
