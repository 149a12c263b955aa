package move_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/move"
	"github.com/layoutfs/layoutfs/inspect/source"
	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

const layouts = "../testdata/layouts"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tally counts what was brought.
type tally struct {
	blobs, bytes, planned atomic.Int64
	first                 func() // is called when one is there; or nil
}

func (t *tally) Plan(blobs int, _ int64) { t.planned.Add(int64(blobs)) }

func (t *tally) Done(blobs int, n int64) {
	t.blobs.Add(int64(blobs))
	t.bytes.Add(n)
	if t.first != nil {
		t.first()
	}
}

func layoutAt(t testing.TB, dir string) inspect.Source {
	t.Helper()
	l, err := source.OpenLayout(dir)
	must(t, err)
	return l
}

func pull(t testing.TB, src inspect.Source, dir, name, as string) *tally {
	t.Helper()
	to, err := move.ToLayout(dir)
	must(t, err)
	var n tally
	must(t, move.Copy(t.Context(), src, name, to, []string{as}, &n))
	must(t, to.Close())
	return &n
}

// contents are the files of a layout, without index.json.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(filepath.Join(dir, "blobs"), func(path string, d iofs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[filepath.Base(path)] = string(b)
		return err
	}))
	return all
}

// TestThereAndBack: what was pushed and pulled is what it was, of caches and of an image; a second time
// nothing is moved.
func TestThereAndBack(t *testing.T) {
	for _, layout := range []string{"gzip", "zstd", "image"} {
		t.Run(layout, func(t *testing.T) {
			client := buckettest.Open(t)
			from := layoutAt(t, filepath.Join(layouts, layout))
			var name string
			for n, err := range from.Names(t.Context()) {
				must(t, err)
				name = n.Name
			}
			want := contents(t, filepath.Join(layouts, layout))
			var first, second tally
			for _, n := range []*tally{&first, &second} {
				must(t, move.Copy(t.Context(), from, name, move.ToBucket(client, nil), []string{"a", "team/b"}, n))
			}
			if int(first.blobs.Load()) != len(want) || second.blobs.Load() != 0 {
				t.Errorf("of %d blobs %d were moved, and then %d", len(want), first.blobs.Load(), second.blobs.Load())
			}
			dir := filepath.Join(t.TempDir(), "new")
			for _, from := range []string{"a", "team/b"} {
				pull(t, source.NewBucket(client), dir, from, from)
			}
			if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
				t.Errorf("(-pushed +pulled):\n%s", diff)
			}
			if _, err := os.Stat(filepath.Join(dir, ".layoutfs")); !errors.Is(err, iofs.ErrNotExist) {
				t.Errorf("something is left over: %v", err)
			}
		})
	}
}

// TestWhatIsPushedIsWhatTypeS3Reads: the name object has a CacheConfig with everything that its importer needs.
func TestWhatIsPushedIsWhatTypeS3Reads(t *testing.T) {
	client := buckettest.Open(t)
	must(t, move.Copy(t.Context(), layoutAt(t, layouts+"/gzip"), "latest", move.ToBucket(client, nil), []string{"a"}, new(tally)))
	obj, err := client.GetName(t.Context(), "a")
	must(t, err)
	l, err := cacheconfig.Import(obj.Body)
	must(t, err)
	if len(l.Closure) != 12 || obj.Descriptor == nil || obj.Descriptor.Annotations != nil {
		t.Errorf("%d blobs, descriptor %+v", len(l.Closure), obj.Descriptor)
	}
}

// TestTypeS3StaysTypeS3 from bucket to bucket: no manifest and config are made of its names; in a layout they are.
func TestTypeS3StaysTypeS3(t *testing.T) {
	from, to := buckettest.Open(t), buckettest.Open(t)
	must(t, move.Copy(t.Context(), layoutAt(t, layouts+"/gzip"), "latest", move.ToBucket(from, nil), []string{"a"}, new(tally)))
	obj, err := from.GetName(t.Context(), "a")
	must(t, err)
	must(t, from.PutName(t.Context(), "s3", obj.Body, nil))
	var n tally
	must(t, move.Copy(t.Context(), source.NewBucket(from), "s3", move.ToBucket(to, from), []string{"s3"}, &n))
	copied, err := to.GetName(t.Context(), "s3")
	must(t, err)
	if copied.Descriptor != nil || n.blobs.Load() != 10 {
		t.Errorf("%d blobs, descriptor %+v", n.blobs.Load(), copied.Descriptor)
	}
	a, err := cacheconfig.Import(obj.Body)
	must(t, err)
	b, err := cacheconfig.Import(copied.Body)
	must(t, err)
	if !bytes.Equal(a.Manifest, b.Manifest) || !bytes.Equal(a.Config, b.Config) {
		t.Error("it is another cache")
	}
	dir := t.TempDir()
	pull(t, source.NewBucket(to), dir, "s3", "s3")
	if got := contents(t, dir); got[a.Descriptor.Digest.Encoded()] != string(a.Manifest) || len(got) != 12 {
		t.Errorf("in a layout there are %d blobs", len(got))
	}
}

// TestBucketToBucket copies within the server where it can, and through us where it cannot.
func TestBucketToBucket(t *testing.T) {
	from, to := buckettest.Open(t), buckettest.Open(t)
	must(t, move.Copy(t.Context(), layoutAt(t, layouts+"/zstd"), "latest", move.ToBucket(from, nil), []string{"a"}, new(tally)))
	src := &recorder{Source: source.NewBucket(from)}
	must(t, move.Copy(t.Context(), src, "a", move.ToBucket(to, from), []string{"b"}, new(tally)))
	if n := src.opened.Load(); n > 4 { // manifest and config, for the closure and for the name
		t.Errorf("%d blobs were read, though the server can copy", n)
	}
	other := buckettest.Open(t)
	src.opened.Store(0)
	must(t, move.Copy(t.Context(), src, "a", move.ToBucket(other, nil), []string{"b"}, new(tally)))
	if n := src.opened.Load(); n < 12 {
		t.Errorf("only %d blobs were read, though the server was not to copy", n)
	}
	for _, c := range []*bucket.Client{to, other} {
		dir := t.TempDir()
		pull(t, source.NewBucket(c), dir, "b", "latest")
		if diff := cmp.Diff(contents(t, layouts+"/zstd"), contents(t, dir)); diff != "" {
			t.Errorf("(-original +copy):\n%s", diff)
		}
	}
}

// recorder counts what is opened, and can fail.
type recorder struct {
	inspect.Source
	opened atomic.Int64
	cut    digest.Digest // the blob that breaks off half way
	after  chan struct{} // when this is closed; or nil: at once
	off    int64         // from where it was opened last
}

var errCut = errors.New("cut off")

func (r *recorder) Open(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	r.opened.Add(1)
	body, err := r.Source.Open(ctx, d, off, n)
	if err != nil || d != r.cut {
		return body, err
	}
	r.off = off
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(body, 100), failing{r.after}), body}, nil
}

type failing struct{ after chan struct{} }

func (f failing) Read([]byte) (int, error) {
	if f.after != nil {
		<-f.after
	}
	return 0, errCut
}

// TestPullGoesOn where it was broken off, in the middle of a blob; the name is not written before all is there.
func TestPullGoesOn(t *testing.T) {
	from := &recorder{Source: layoutAt(t, layouts+"/gzip")}
	c, err := inspect.Read(t.Context(), from, "latest", "")
	must(t, err)
	largest := slices.MaxFunc(c.Layers, func(a, b ocispec.Descriptor) int { return int(a.Size - b.Size) })
	from.cut = largest.Digest
	dir := t.TempDir()
	to, err := move.ToLayout(dir)
	must(t, err)
	if err := move.Copy(t.Context(), from, "latest", to, []string{"latest"}, new(tally)); !errors.Is(err, errCut) {
		t.Fatalf("it was not cut off: %v", err)
	}
	must(t, to.Close())
	if _, err := os.Stat(filepath.Join(dir, "index.json")); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("the name is written: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "blobs", "sha256", largest.Digest.Encoded())); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("half a blob is there: %v", err)
	}
	whole := &recorder{Source: from.Source, cut: ""}
	watch := &offsets{Source: whole}
	pull(t, watch, dir, "latest", "latest")
	if off := watch.of[largest.Digest]; off != 100 {
		t.Errorf("it went on at %d, not at 100", off)
	}
	if diff := cmp.Diff(contents(t, layouts+"/gzip"), contents(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPushGoesOn with the blobs that are not there yet; the name is not written before all are.
func TestPushGoesOn(t *testing.T) {
	client := buckettest.Open(t)
	from := &recorder{Source: layoutAt(t, layouts+"/gzip"), after: make(chan struct{})}
	c, err := inspect.Read(t.Context(), from, "latest", "")
	must(t, err)
	from.cut = slices.MaxFunc(c.Layers, func(a, b ocispec.Descriptor) int { return int(a.Size - b.Size) }).Digest
	begun := tally{first: sync.OnceFunc(func() { close(from.after) })}
	if err := move.Copy(t.Context(), from, "latest", move.ToBucket(client, nil), []string{"a"}, &begun); !errors.Is(err, errCut) {
		t.Fatalf("it was not cut off: %v", err)
	}
	if _, err := client.GetName(t.Context(), "a"); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("the name is written: %v", err)
	}
	there := 0
	for _, err := range client.ListBlobs(t.Context()) {
		must(t, err)
		there++
	}
	from.cut = ""
	var rest tally
	must(t, move.Copy(t.Context(), from, "latest", move.ToBucket(client, nil), []string{"a"}, &rest))
	// The server may still take in what was under way: then there is less to move than the list said.
	if all := len(contents(t, layouts+"/gzip")); there < int(begun.blobs.Load()) || int(rest.blobs.Load()) > all-there {
		t.Errorf("of %d blobs %d were moved, %d were there, and %d more were moved", all, begun.blobs.Load(), there, rest.blobs.Load())
	}
	dir := t.TempDir()
	pull(t, source.NewBucket(client), dir, "a", "latest")
	if diff := cmp.Diff(contents(t, layouts+"/gzip"), contents(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// offsets remembers from where blobs are read.
type offsets struct {
	inspect.Source
	of map[digest.Digest]int64
}

func (o *offsets) Open(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	if off > 0 {
		if o.of == nil {
			o.of = map[digest.Digest]int64{}
		}
		o.of[d] = off
	}
	return o.Source.Open(ctx, d, off, n)
}

// TestWrongBytesAreNotMoved, in either direction, and no name refers to them.
func TestWrongBytesAreNotMoved(t *testing.T) {
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(layouts+"/gzip")))
	src := layoutAt(t, dir)
	c, err := inspect.Read(t.Context(), src, "latest", "")
	must(t, err)
	path := filepath.Join(dir, "blobs", "sha256", c.Layers[0].Digest.Encoded())
	must(t, os.WriteFile(path, bytes.Repeat([]byte("x"), int(c.Layers[0].Size)), 0o644))
	client := buckettest.Open(t)
	if err := move.Copy(t.Context(), src, "latest", move.ToBucket(client, nil), []string{"a"}, new(tally)); !errors.Is(err, inspect.ErrMismatch) {
		t.Errorf("push: %v", err)
	}
	if _, err := client.GetName(t.Context(), "a"); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("the name is written: %v", err)
	}
	to, err := move.ToLayout(filepath.Join(t.TempDir(), "new"))
	must(t, err)
	if err := move.Copy(t.Context(), src, "latest", to, []string{"a"}, new(tally)); !errors.Is(err, inspect.ErrMismatch) {
		t.Errorf("pull: %v", err)
	}
}

// TestMissingBlobs are an error that names the blob.
func TestMissingBlobs(t *testing.T) {
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(layouts+"/gzip")))
	src := layoutAt(t, dir)
	c, err := inspect.Read(t.Context(), src, "latest", "")
	must(t, err)
	must(t, os.Remove(filepath.Join(dir, "blobs", "sha256", c.Layers[3].Digest.Encoded())))
	err = move.Copy(t.Context(), src, "latest", move.ToBucket(buckettest.Open(t), nil), []string{"a"}, new(tally))
	if !errors.Is(err, iofs.ErrNotExist) || !strings.Contains(err.Error(), c.Layers[3].Digest.String()) {
		t.Errorf("error %v", err)
	}
}

// TestPullMerges into an index.json that has other entries, and replaces the one of the same tag.
func TestPullMerges(t *testing.T) {
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(layouts+"/image")))
	pull(t, layoutAt(t, layouts+"/gzip"), dir, "latest", "cache")
	pull(t, layoutAt(t, layouts+"/zstd"), dir, "latest", "cache")
	var got []string
	for n, err := range layoutAt(t, dir).Names(t.Context()) {
		must(t, err)
		got = append(got, n.Name)
	}
	if diff := cmp.Diff([]string{"example.com/app:v1", "cache"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var index ocispec.Index
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	must(t, err)
	must(t, json.Unmarshal(b, &index))
	if index.Manifests[1].Digest != nameIn(t, layouts+"/zstd") {
		t.Error("the later one did not replace the earlier")
	}
}

func nameIn(t testing.TB, dir string) digest.Digest {
	t.Helper()
	n, err := layoutAt(t, dir).Name(t.Context(), "latest")
	must(t, err)
	return n.Descriptor.Digest
}

// TestPullRefusesOtherFolders: what is in them is not ours.
func TestPullRefusesOtherFolders(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o644))
	if _, err := move.ToLayout(dir); err == nil || !strings.Contains(err.Error(), "choose another folder") {
		t.Errorf("error %v", err)
	}
}

// TestTag gives a name of both kinds a second one, renews what is old, and refuses one that is broken.
func TestTag(t *testing.T) {
	client := buckettest.Open(t)
	must(t, move.Copy(t.Context(), layoutAt(t, layouts+"/gzip"), "latest", move.ToBucket(client, nil), []string{"a"}, new(tally)))
	obj, err := client.GetName(t.Context(), "a")
	must(t, err)
	must(t, client.PutName(t.Context(), "s3", obj.Body, nil))
	src := source.NewBucket(client)
	for name, as := range map[string]string{"a": "b", "s3": "s4"} {
		must(t, move.Tag(t.Context(), src, client, name, as, time.Hour))
		was, err := client.GetName(t.Context(), name)
		must(t, err)
		is, err := client.GetName(t.Context(), as)
		must(t, err)
		if !bytes.Equal(was.Body, is.Body) || !cmp.Equal(was.Descriptor, is.Descriptor) {
			t.Errorf("%q is not what %q is", as, name)
		}
	}
	keeper := &touches{Client: client}
	must(t, move.Tag(t.Context(), src, keeper, "a", "c", 0))
	if n := keeper.n.Load(); n != 12 {
		t.Errorf("%d of 12 blobs that are too old were touched", n)
	}
	c, err := inspect.Read(t.Context(), src, "a", "")
	must(t, err)
	must(t, client.DeleteBlob(t.Context(), c.Layers[0].Digest))
	err = move.Tag(t.Context(), src, client, "a", "d", time.Hour)
	if !errors.Is(err, iofs.ErrNotExist) || !strings.Contains(err.Error(), c.Layers[0].Digest.String()) {
		t.Errorf("a name without its blobs: %v", err)
	}
	if _, err := client.GetName(t.Context(), "d"); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("it was tagged all the same: %v", err)
	}
}

type touches struct {
	*bucket.Client
	n atomic.Int64
}

func (c *touches) TouchBlob(ctx context.Context, d digest.Digest, size int64) error {
	c.n.Add(1)
	return c.Client.TouchBlob(ctx, d, size)
}
