package source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	iofs "io/fs"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/inspect"
)

// TestSources is the contract of inspect.Source, held by all four.
func TestSources(t *testing.T) {
	c := newContent(t)
	for name, open := range map[string]func(testing.TB, *content) inspect.Source{
		"layout": openLayout, "bucket": openBucket, "cache directory": openCacheDir, "mount": openMount,
		"bucket of a mount": openBucketOfMount,
	} {
		t.Run(name, func(t *testing.T) {
			src := open(t, c)
			for _, tc := range contract {
				t.Run(tc.name, func(t *testing.T) { tc.run(t, src, c) })
			}
		})
	}
}

var contract = []struct {
	name string
	run  func(t *testing.T, src inspect.Source, c *content)
}{
	{"names are listed once, with what they stand for", testNames},
	{"a name is what the listing says", testName},
	{"a name that is not there", testNoName},
	{"a name that cannot be read does not hide the others", testBroken},
	{"every blob is listed, and where it is", testBlobs},
	{"blobs are read as they are, in ranges too", testOpen},
	{"ranges beyond the end are an error", testShort},
	{"manifests and configs of type=s3 are there", testSynthetic},
	{"a blob that is not there", testNoBlob},
	{"what is no digest", testNoDigest},
	{"listings end when nobody wants more", testStops},
	{"a cancelled context ends everything", testCancelled},
	{"many readers at once", testConcurrent},
}

func namesOf(t testing.TB, src inspect.Source) map[string]inspect.Name {
	t.Helper()
	all := map[string]inspect.Name{}
	for n, err := range src.Names(t.Context()) {
		must(t, err)
		if _, twice := all[n.Name]; twice {
			t.Errorf("name %q is listed twice", n.Name)
		}
		all[n.Name] = n
	}
	return all
}

func testNames(t *testing.T, src inspect.Source, c *content) {
	got := map[string]digest.Digest{}
	for name, n := range namesOf(t, src) {
		if n.Broken == "" {
			got[name] = n.Descriptor.Digest
		}
	}
	want := map[string]digest.Digest{}
	for name, d := range c.all() {
		want[name] = d.Digest
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func testName(t *testing.T, src inspect.Source, c *content) {
	listed := namesOf(t, src)
	for name, want := range c.all() {
		n, err := src.Name(t.Context(), name)
		must(t, err)
		n.Updated = listed[name].Updated // of what was written within the last seconds a bucket does not say
		if diff := cmp.Diff(listed[name], n); diff != "" {
			t.Errorf("name %q (-listed +got):\n%s", name, diff)
		}
		if n.Descriptor.Size != want.Size || n.Descriptor.MediaType != want.MediaType {
			t.Errorf("name %q is %+v, not %+v", name, n.Descriptor, want)
		}
	}
}

func testNoName(t *testing.T, src inspect.Source, _ *content) {
	for _, name := range []string{"nothing", "team", "app/", ""} {
		if n, err := src.Name(t.Context(), name); !errors.Is(err, iofs.ErrNotExist) {
			t.Errorf("name %q is %+v: %v", name, n, err)
		}
	}
}

func testBroken(t *testing.T, src inspect.Source, _ *content) {
	for _, n := range []inspect.Name{namesOf(t, src)[broken], must2(src.Name(t.Context(), broken))(t)} {
		if n.Name != broken || n.Broken == "" || n.Descriptor.Digest != "" {
			t.Errorf("it is %+v", n)
		}
	}
}

func must2[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func testBlobs(t *testing.T, src inspect.Source, c *content) {
	listed := map[digest.Digest]inspect.Blob{}
	for b, err := range src.Blobs(t.Context()) {
		must(t, err)
		b.In |= listed[b.Digest].In
		listed[b.Digest] = b
	}
	for d, content := range c.blobs {
		b, ok := listed[d]
		if !ok || b.Size != int64(len(content)) || !b.In.Complete() {
			t.Errorf("blob %s of %d bytes is listed (%v) as %+v", d, len(content), ok, b)
		}
		stat, err := src.Stat(t.Context(), d)
		must(t, err)
		if stat.Size != b.Size || stat.In != b.In || stat.Digest != d {
			t.Errorf("Stat says %+v, the listing %+v", stat, b)
		}
	}
	if _, ok := listed[c.lone]; !ok {
		t.Error("what no name reaches is not listed")
	}
	for d := range listed {
		if _, ours := c.blobs[d]; !ours && !c.isMade(t, d) {
			t.Errorf("blob %s is listed and is not there", d)
		}
	}
}

// isMade says whether a blob is a document that is synthesised.
func (c *content) isMade(t testing.TB, d digest.Digest) bool {
	for name := range c.configs {
		for _, doc := range c.documents(t, name) {
			if digest.FromBytes(doc) == d {
				return true
			}
		}
	}
	return false
}

// read reads a range to its end.
func read(ctx context.Context, src inspect.Source, d digest.Digest, off, n int64) ([]byte, error) {
	r, err := src.Open(ctx, d, off, n)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func testOpen(t *testing.T, src inspect.Source, c *content) {
	for d, want := range c.blobs {
		size := int64(len(want))
		for _, r := range [][2]int64{{0, -1}, {0, size}, {size / 2, -1}, {size / 3, size / 3}, {size - 1, 1}, {0, 0}, {size, 0}} {
			got, err := read(t.Context(), src, d, r[0], r[1])
			must(t, err)
			n := r[1]
			if n < 0 {
				n = size - r[0]
			}
			if !bytes.Equal(got, want[r[0]:r[0]+n]) {
				t.Errorf("blob %s, %d bytes at %d: other bytes", d, n, r[0])
			}
		}
	}
}

func testShort(t *testing.T, src inspect.Source, c *content) {
	size := int64(len(c.blobs[c.lone]))
	for _, r := range [][2]int64{{0, size + 1}, {size + 1, 1}, {size, 1}} {
		if b, err := read(t.Context(), src, c.lone, r[0], r[1]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes at %d of %d: %q, %v", r[1], r[0], size, b, err)
		}
	}
	if _, err := read(t.Context(), src, c.lone, -1, 1); err == nil {
		t.Error("a negative offset is taken")
	}
}

func testSynthetic(t *testing.T, src inspect.Source, c *content) {
	for name := range c.configs {
		must2(src.Name(t.Context(), name))(t)
		for _, want := range c.documents(t, name) {
			d := digest.FromBytes(want)
			b, err := src.Stat(t.Context(), d)
			must(t, err)
			if b.Size != int64(len(want)) || !b.In.Complete() {
				t.Errorf("Stat of what is made of %q: %+v", name, b)
			}
			got, err := read(t.Context(), src, d, 0, -1)
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Errorf("what is made of %q has other bytes", name)
			}
		}
	}
}

func testNoBlob(t *testing.T, src inspect.Source, _ *content) {
	d := digest.FromString("nothing")
	if b, err := src.Stat(t.Context(), d); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("Stat: %+v, %v", b, err)
	}
	if _, err := read(t.Context(), src, d, 0, -1); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("Open: %v", err)
	}
}

func testNoDigest(t *testing.T, src inspect.Source, _ *content) {
	for _, d := range []digest.Digest{"", "sha256:../../../../etc/passwd", "sha256:", "x"} {
		if _, err := src.Stat(t.Context(), d); err == nil {
			t.Errorf("Stat of %q", d)
		}
		if _, err := read(t.Context(), src, d, 0, -1); err == nil {
			t.Errorf("Open of %q", d)
		}
	}
}

func testStops(t *testing.T, src inspect.Source, _ *content) {
	n := 0
	for _, err := range src.Names(t.Context()) {
		must(t, err)
		n++
		break
	}
	for _, err := range src.Blobs(t.Context()) {
		must(t, err)
		n++
		break
	}
	if n != 2 {
		t.Errorf("%d of two listings began", n)
	}
}

func testCancelled(t *testing.T, src inspect.Source, c *content) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var failed error
	for _, err := range src.Names(ctx) {
		failed = err
	}
	if failed == nil {
		t.Error("names are listed")
	}
	failed = nil
	for _, err := range src.Blobs(ctx) {
		failed = err
	}
	if failed == nil {
		t.Error("blobs are listed")
	}
	if _, err := read(ctx, src, c.lone, 0, -1); err == nil {
		t.Error("a blob is read")
	}
}

func testConcurrent(t *testing.T, src inspect.Source, c *content) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for name, d := range c.synthetic {
				if _, err := src.Name(t.Context(), name); err != nil {
					t.Error(err)
				}
				if b, err := read(t.Context(), src, d.Digest, 0, -1); err != nil || digest.FromBytes(b) != d.Digest {
					t.Errorf("manifest of %q: %v", name, err)
				}
			}
			if len(namesOf(t, src)) != len(c.all())+1 {
				t.Error("names are missing")
			}
		})
	}
	wg.Wait()
}
