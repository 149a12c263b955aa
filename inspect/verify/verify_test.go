package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/source"
	"github.com/layoutfs/layoutfs/inspect/verify"
	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
	"github.com/layoutfs/layoutfs/sync/disk"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cache is a bucket with one captured cache, under the name app.
type cache struct {
	t      testing.TB
	client *bucket.Client
	m      ocispec.Manifest
	root   ocispec.Descriptor
	blobs  map[digest.Digest][]byte
}

func newCache(t testing.TB) *cache {
	t.Helper()
	c := &cache{t: t, client: buckettest.Open(t), blobs: map[digest.Digest][]byte{}}
	dir := "../testdata/layouts/gzip"
	files, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	must(t, err)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", f.Name()))
		must(t, err)
		c.put(b)
	}
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	must(t, err)
	var index ocispec.Index
	must(t, json.Unmarshal(b, &index))
	c.root = index.Manifests[0]
	must(t, json.Unmarshal(c.blobs[c.root.Digest], &c.m))
	must(t, c.client.PutName(t.Context(), "app", []byte("{}"), &c.root))
	return c
}

func (c *cache) put(b []byte) digest.Digest {
	c.t.Helper()
	d := digest.FromBytes(b)
	c.blobs[d] = b
	c.putAs(d, b)
	return d
}

// putAs puts bytes under a digest that need not be theirs: as a name, because blobs are signed with their digest.
func (c *cache) putAs(d digest.Digest, b []byte) {
	c.t.Helper()
	config := c.client.Config()
	config.ManifestsPrefix = config.BlobsPrefix
	must(c.t, buckettest.OpenWith(c.t, config, bucket.Options{}).PutName(c.t.Context(), d.String(), b, nil))
}

func (c *cache) run(o verify.Options) (verify.Report, []verify.Problem) {
	c.t.Helper()
	var problems []verify.Problem
	o.Problem = func(p verify.Problem) { problems = append(problems, p) }
	if o.Source == nil {
		o.Where, o.Source, o.In = "bucket", source.NewBucket(c.client), inspect.Bucket
	}
	report, err := verify.Run(c.t.Context(), o)
	must(c.t, err)
	if report.Problems != len(problems) {
		c.t.Errorf("%d problems are counted, %d told", report.Problems, len(problems))
	}
	return report, problems
}

// layer is a layer of the cache.
func (c *cache) layer(i int) ocispec.Descriptor { return c.m.Layers[i] }

// TestNothingIsWrongWithAGoodCache, and all of it is read.
func TestNothingIsWrongWithAGoodCache(t *testing.T) {
	c := newCache(t)
	c.put([]byte("nobody needs me"))
	var read atomic.Int64
	report, problems := c.run(verify.Options{Read: func(n int64) { read.Add(n) }})
	if len(problems) > 0 || report.Names != 1 || report.Blobs != len(c.blobs) || report.Orphans != 1 || report.Bytes != read.Load() {
		t.Errorf("%+v, %d bytes read: %+v", report, read.Load(), problems)
	}
}

// TestWhatIsWrongIsFound: each damage as what it is, with the name that it hurts.
func TestWhatIsWrongIsFound(t *testing.T) {
	c := newCache(t)
	flipped := bytes.Clone(c.blobs[c.layer(0).Digest])
	flipped[20] ^= 1
	c.putAs(c.layer(0).Digest, flipped)
	c.putAs(c.layer(1).Digest, c.blobs[c.layer(1).Digest][:50])
	must(t, c.client.DeleteBlob(t.Context(), c.layer(2).Digest))
	alone := c.put([]byte("nobody needs me"))
	c.putAs(alone, []byte("nobody needs m."))
	must(t, c.client.PutName(t.Context(), "broken", []byte("no JSON"), nil))
	must(t, c.client.PutName(t.Context(), "gone", []byte("{}"), &ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("gone"), Size: 4,
	}))
	lie := c.m
	lie.Layers = []ocispec.Descriptor{lie.Layers[3], lie.Layers[4]}
	lie.Layers[0].MediaType = ocispec.MediaTypeImageLayerZstd
	lie.Layers[1].Size++
	b, err := json.Marshal(lie)
	must(t, err)
	d := c.put(b)
	must(t, c.client.PutName(t.Context(), "lie", []byte("{}"), &ocispec.Descriptor{MediaType: lie.MediaType, Digest: d, Size: int64(len(b))}))

	_, problems := c.run(verify.Options{})
	type found struct {
		Kind   verify.Kind
		Digest digest.Digest
	}
	got := map[found]bool{}
	for _, p := range problems {
		got[found{p.Kind, p.Digest}] = true
		if p.Where != "bucket" || p.Text == "" || p.Repair != "" {
			t.Errorf("%+v", p)
		}
	}
	want := map[found]bool{
		{verify.WrongBytes, c.layer(0).Digest}:      true,
		{verify.WrongBytes, c.layer(1).Digest}:      true,
		{verify.WrongSize, c.layer(1).Digest}:       true,
		{verify.Missing, c.layer(2).Digest}:         true,
		{verify.WrongBytes, alone}:                  true,
		{verify.BrokenName, ""}:                     true,
		{verify.Missing, digest.FromString("gone")}: true,
		{verify.WrongSize, c.layer(4).Digest}:       true,
	}
	// Which of two names is read first is not told, and so which of two media types is believed.
	delete(got, found{verify.WrongMediaType, c.layer(3).Digest})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	_, problems = c.run(verify.Options{Quick: true})
	if slices.ContainsFunc(problems, func(p verify.Problem) bool { return p.Kind == verify.WrongBytes }) || len(problems) < 5 {
		t.Errorf("a quick run finds %+v", problems)
	}
}

// TestWrongMediaTypes are told from the bytes of layers.
func TestWrongMediaTypes(t *testing.T) {
	c := newCache(t)
	lie := c.m
	lie.Layers = slices.Clone(lie.Layers)
	lie.Layers[0].MediaType = ocispec.MediaTypeImageLayerZstd
	lie.Layers[1].MediaType = ocispec.MediaTypeImageLayer
	lie.Layers[2].MediaType += "+encrypted"
	b, err := json.Marshal(lie)
	must(t, err)
	root := ocispec.Descriptor{MediaType: lie.MediaType, Digest: c.put(b), Size: int64(len(b))}
	must(t, c.client.PutName(t.Context(), "app", []byte("{}"), &root))
	_, problems := c.run(verify.Options{})
	got := map[digest.Digest]verify.Kind{}
	for _, p := range problems {
		got[p.Digest] = p.Kind
	}
	want := map[digest.Digest]verify.Kind{c.layer(0).Digest: verify.WrongMediaType, c.layer(1).Digest: verify.WrongMediaType}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRepair uploads what local disk has, and deletes what nobody has, so that it is written again. A second
// run then finds nothing but what is missing.
func TestRepair(t *testing.T) {
	c := newCache(t)
	bad := []byte("wrong")
	here, nowhere, missing := c.layer(0).Digest, c.layer(1).Digest, c.layer(2).Digest
	c.putAs(here, bad)
	c.putAs(nowhere, bad)
	must(t, c.client.DeleteBlob(t.Context(), missing))
	dir := t.TempDir()
	store, err := disk.Open(dir, disk.Options{})
	must(t, err)
	for _, d := range []digest.Digest{here, missing} {
		must(t, store.Keep(c.blobs[d], d))
	}
	must(t, store.Close())
	local, err := source.OpenCacheDir(t.Context(), dir, slog.New(slog.DiscardHandler))
	must(t, err)
	failed := 0
	fixer := &verify.Fixer{
		Upload: verify.UploadFrom(local, c.client), Delete: c.client.DeleteBlob,
		Failed: func(verify.Problem, error) { failed++ },
	}
	report, problems := c.run(verify.Options{Fixer: fixer})
	if report.Repaired != 3 || failed == 0 {
		t.Errorf("%d repaired, %d failures: %+v", report.Repaired, failed, problems)
	}
	_, problems = c.run(verify.Options{})
	if len(problems) != 1 || problems[0].Digest != nowhere || problems[0].Kind != verify.Missing {
		t.Errorf("after the repair: %+v", problems)
	}
}

// TestRepairOfLocalDisk drops damaged copies of what the bucket has, and does not touch what is staged.
func TestRepairOfLocalDisk(t *testing.T) {
	dir := t.TempDir()
	store, err := disk.Open(dir, disk.Options{})
	must(t, err)
	good, bad, staged := []byte("good"), []byte("bad"), []byte("staged")
	for _, b := range [][]byte{good, bad} {
		must(t, store.Keep(b, digest.FromBytes(b)))
	}
	path := filepath.Join(store.Scratch(), "data")
	must(t, os.WriteFile(path, staged, 0o600))
	_, err = store.Stage(t.Context(), path, digest.FromBytes(staged))
	must(t, err)
	must(t, store.Close())
	damage := func(folder string, b []byte) {
		path := filepath.Join(dir, folder, "sha256", digest.FromBytes(b).Encoded())
		must(t, os.Chmod(path, 0o600))
		must(t, os.WriteFile(path, bytes.ToUpper(b), 0o600))
	}
	damage("blobs", bad)
	damage("staged", staged)
	c := &cache{t: t}
	src, err := source.OpenCacheDir(t.Context(), dir, slog.New(slog.DiscardHandler))
	must(t, err)
	dropper := verify.DropFrom(dir)
	o := verify.Options{
		Where: "disk", Source: src, In: inspect.Warm | inspect.Staged, Partial: true,
		Fixer: &verify.Fixer{Drop: dropper.Drop, Close: dropper.Close, Failed: func(p verify.Problem, err error) { t.Logf("%+v: %v", p, err) }},
	}
	report, problems := c.run(o)
	if report.Blobs != 3 || len(problems) != 2 {
		t.Errorf("%+v: %+v", report, problems)
	}
	_, problems = c.run(o)
	if len(problems) != 1 || problems[0].Digest != digest.FromBytes(staged) {
		t.Errorf("after the repair: %+v", problems)
	}
}

// breakingOff is a source that fails after some blobs were opened.
type breakingOff struct {
	inspect.Source
	left   atomic.Int64
	opened atomic.Int64
	cancel context.CancelFunc
}

func (b *breakingOff) Open(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	if b.left.Add(-1) < 0 && b.cancel != nil {
		b.cancel()
		return nil, context.Canceled
	}
	b.opened.Add(1)
	return b.Source.Open(ctx, d, off, n)
}

// TestGoingOn: what a run that was broken off has verified is not read again.
func TestGoingOn(t *testing.T) {
	c := newCache(t)
	path := filepath.Join(t.TempDir(), "state")
	open := func() *verify.State {
		s, err := verify.OpenState(path, false)
		must(t, err)
		return s
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	src := &breakingOff{Source: source.NewBucket(c.client), cancel: cancel}
	src.left.Store(6) // the manifest, for the name, and five blobs
	state := open()
	_, err := verify.Run(ctx, verify.Options{
		Where: "bucket", Source: src, In: inspect.Bucket, State: state, Workers: 1, Problem: func(p verify.Problem) { t.Errorf("%+v", p) },
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("it was not broken off: %v", err)
	}
	must(t, state.Close())
	state = open()
	if state.Verified() != 5 {
		t.Fatalf("%d blobs are remembered", state.Verified())
	}
	again := &breakingOff{Source: source.NewBucket(c.client)}
	report, problems := c.run(verify.Options{Where: "bucket", Source: again, In: inspect.Bucket, State: state})
	if len(problems) > 0 || report.Skipped != 5 || report.Blobs != len(c.blobs) {
		t.Errorf("%+v: %+v", report, problems)
	}
	if n := again.opened.Load(); int(n) != len(c.blobs)-5+1 { // and the manifest once more, for the name
		t.Errorf("%d blobs were read", n)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end it is still remembered: %v", err)
	}
}
