package sync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

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

func TestNamesAreDirectories(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1))
	must(t, h.export("app", "latest", c))
	must(t, h.export("app", "v1", c))
	for _, name := range []string{"app", "app/v1"} {
		if _, ok := b.name(name); !ok {
			t.Errorf("name %q is not in the bucket", name)
		}
	}
	if diff := cmp.Diff(map[string]digest.Digest{"latest": c.desc.Digest, "v1": c.desc.Digest}, h.shownTags("app")); diff != "" {
		t.Error(diff)
	}
	dirs, err := h.Children(t.Context(), "")
	must(t, err)
	if diff := cmp.Diff([]string{"app"}, dirs); diff != "" {
		t.Error(diff)
	}
}

func TestCacheOfTypeS3IsSynthesised(t *testing.T) {
	b := newMemBucket()
	c := newCache(t, random(100, 1), random(200, 2))
	m, err := cacheconfig.ParseManifest(c.manifest)
	must(t, err)
	body, err := cacheconfig.Export(m, c.config)
	must(t, err)
	for _, l := range c.layers {
		b.put(l)
	}
	err = b.PutName(t.Context(), "buildkit", body, nil)
	must(t, err)

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

func TestDigestOrNothing(t *testing.T) {
	h := newHost(t, newMemBucket(), nil)
	path := filepath.Join(h.o.Disk.Scratch(), "data")
	must(t, os.WriteFile(path, []byte("these bytes"), 0o644))
	d := digest.FromString("other bytes")
	if err := h.Commit(t.Context(), path, d); !errors.Is(err, disk.ErrMismatch) {
		t.Fatalf("commit under a wrong digest: %v", err)
	}
	if _, err := h.Stat(t.Context(), d); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("stat of what was not committed: %v", err)
	}
	if h.Status().Counters.Mismatches != 1 {
		t.Errorf("counters: %+v", h.Status().Counters)
	}
}

func TestBucketWithWrongBytesIsNeverWarm(t *testing.T) {
	b := newMemBucket()
	good := random(6<<20, 1)
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 1
	d := b.putAs(digest.FromBytes(good), bad, time.Now())
	h := newHost(t, b, nil)
	if _, err := h.read(d); !errors.Is(err, disk.ErrMismatch) {
		t.Fatalf("read of a blob with a flipped bit: %v", err)
	}
	if state := h.o.Disk.Stat(d).State; state != disk.Absent {
		t.Errorf("the damaged copy is kept, in state %v", state)
	}
	b.putAs(d, good, time.Now())
	got, err := h.read(d)
	must(t, err)
	if !bytes.Equal(got, good) {
		t.Error("after the bucket was mended the blob is still wrong")
	}
}

// TestWrongBytesAreFoundInWhateverOrderTheyAreRead, and however many read them.
func TestWrongBytesAreFoundInWhateverOrderTheyAreRead(t *testing.T) {
	const chunks = 9
	good := random(chunks*disk.ChunkSize, 1)
	bad := bytes.Clone(good)
	bad[0] ^= 1
	for _, order := range [][]int{{8, 7, 6, 5, 4, 3, 2, 1, 0}, {1, 2, 3, 4, 5, 6, 7, 8, 0}, {0, 8, 2, 4, 6, 1, 3, 5, 7}} {
		b := newMemBucket()
		d := b.putAs(digest.FromBytes(good), bad, time.Now())
		h := newHost(t, b, nil)
		r, err := h.Open(t.Context(), d)
		must(t, err)
		var failed error
		for _, chunk := range order {
			if _, err := r.ReadAt(t.Context(), make([]byte, disk.ChunkSize), int64(chunk)*disk.ChunkSize); err != nil && !errors.Is(err, io.EOF) {
				failed = err
			}
		}
		must(t, r.Close())
		if !errors.Is(failed, disk.ErrMismatch) {
			t.Errorf("all of a damaged blob was read in the order %v: %v", order, failed)
		}
	}
}

func TestManifestWaitsForItsBlobs(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1), random(200, 2))
	gate := make(chan struct{})
	b.failing(func(ctx context.Context, verb, key string) error {
		if verb == "put" && key == string(digest.FromBytes(c.layers[1])) {
			<-gate
		}
		return nil
	})
	for _, l := range append(c.layers, c.config) {
		h.mustWrite(l)
	}
	done := make(chan error)
	go func() { _, err := h.write(c.manifest); done <- err }()
	select {
	case err := <-done:
		t.Fatalf("the manifest was committed before its layer was in the bucket: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(gate)
	must(t, <-done)
	for _, blob := range append(c.layers, c.config, c.manifest) {
		if _, ok := b.blob(digest.FromBytes(blob)); !ok {
			t.Error("the manifest was committed and a blob of it is not in the bucket")
		}
	}
}

func TestManifestFailsWhenTheBucketIsGone(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1))
	b.failing(down)
	for _, l := range append(c.layers, c.config) {
		h.mustWrite(l)
	}
	if _, err := h.write(c.manifest); !errors.Is(err, bucket.ErrUnreachable) {
		t.Fatalf("commit of a manifest without a bucket: %v", err)
	}
	if up := h.Status().BucketUp; up {
		t.Error("status says that the bucket is up")
	}
	b.failing(nil)
	h.forgive()
	must(t, h.export("", "latest", c))
}

func TestPrepareWaitsInPlaceOfCommit(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1))
	for _, l := range append(c.layers, c.config) {
		h.mustWrite(l)
	}
	path := filepath.Join(h.o.Disk.Scratch(), "manifest")
	must(t, os.WriteFile(path, c.manifest, 0o644))
	h.Prepare(t.Context(), path)
	stats := b.count("stat")
	b.failing(func(_ context.Context, verb, key string) error {
		if verb != "put" || key != string(c.desc.Digest) {
			return fmt.Errorf("%s %s after Prepare", verb, key)
		}
		return nil
	})
	must(t, h.Commit(t.Context(), path, c.desc.Digest))
	if b.count("stat") != stats {
		t.Error("commit asked for what Prepare had asked for")
	}
}

// TestAnOutageThatIsOverFailsNoCommit: containerd takes up a file that it had written whole, and closes it without
// a write.
func TestAnOutageThatIsOverFailsNoCommit(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1))
	b.failing(down)
	for _, l := range append(c.layers, c.config) {
		h.mustWrite(l)
	}
	path := filepath.Join(h.o.Disk.Scratch(), "manifest")
	must(t, os.WriteFile(path, c.manifest, 0o644))
	h.Prepare(t.Context(), path)
	b.failing(nil)
	h.forgive()
	must(t, h.Commit(t.Context(), path, c.desc.Digest))
}

func TestPrepareLeavesAnIndexFileAlone(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	path := filepath.Join(h.o.Disk.Scratch(), "index.json.tmp")
	must(t, os.WriteFile(path, indexOf(t, tagged("somewhere", "v1")), 0o644))
	h.Prepare(t.Context(), path)
	if b.count("stat") != 0 {
		t.Error("an index.json on its way was taken for a manifest")
	}
}

func TestPublishedMeansPublished(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1))
	must(t, h.export("", "latest", c))
	// The bucket loses a layer: what is warm goes up again before the name is written anew.
	lost := digest.FromBytes(c.layers[0])
	b.remove(lost)
	h.restart()
	must(t, h.tag("", "v2", c.desc))
	if _, ok := b.blob(lost); !ok {
		t.Error("a name was written whose layer is not in the bucket")
	}
}

func TestNameIsNotWrittenWithoutItsBlobs(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1))
	must(t, h.export("", "latest", c))
	lost := digest.FromBytes(c.layers[0])
	b.remove(lost)
	h.restart()
	must(t, h.o.Disk.Remove(lost))
	err := h.tag("", "v2", c.desc)
	if err == nil || !strings.Contains(err.Error(), lost.String()) {
		t.Fatalf("publication without a layer: %v", err)
	}
	if _, ok := b.name("v2"); ok {
		t.Error("the name was written all the same")
	}
	if _, err := h.Stat(t.Context(), lost); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("the lost blob is still shown, so no export would write it again: %v", err)
	}
}

func TestOldBlobsAreTouched(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, func(o *Options) { o.TouchRefresh = time.Hour })
	c := newCache(t, random(100, 1))
	old := b.putAs(digest.FromBytes(c.layers[0]), c.layers[0], time.Now().Add(-2*time.Hour))
	for _, blob := range [][]byte{c.config, c.manifest} {
		_, err := h.write(blob)
		must(t, err)
	}
	if blob, _ := b.blob(old); time.Since(blob.modified) > time.Minute {
		t.Errorf("a blob of the closure is still %s old", time.Since(blob.modified))
	}
	if b.count("touch") != 1 {
		t.Errorf("%d blobs were touched", b.count("touch"))
	}
}

func TestWriteBackSurvivesARestart(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, func(o *Options) { o.WriteBack = true })
	b.failing(down)
	c := newCache(t, random(100, 1), random(200, 2))
	must(t, h.export("", "latest", c))
	if got := h.shownTags("")["latest"]; got != c.desc.Digest {
		t.Fatalf("an acknowledged name is not shown: %q", got)
	}
	err := h.Flush(t.Context())
	if s := h.Status(); !errors.Is(err, bucket.ErrUnreachable) || s.Staged.Blobs != 4 || s.Pending != 1 {
		t.Errorf("flush without a bucket: %v, status %+v", err, s)
	}
	h.stop()
	b.failing(nil)
	h.start()
	must(t, h.Flush(t.Context()))
	if _, ok := b.name("buildkit"); !ok {
		t.Error("after a flush the acknowledged name is not in the bucket")
	}
	if s := h.Status(); s.Staged.Blobs != 0 || s.Pending != 0 {
		t.Errorf("after a flush: %+v", s)
	}
}

func TestIndexIsMergedNotOverwritten(t *testing.T) {
	b := newMemBucket()
	one, two := newHost(t, b, nil), newHost(t, b, nil)
	before, err := one.Index(t.Context(), "")
	must(t, err)
	must(t, two.export("", "theirs", newCache(t, random(10, 1))))
	c := newCache(t, random(10, 2))
	for _, blob := range append(c.layers, c.config, c.manifest) {
		one.mustWrite(blob)
	}
	mine := c.desc
	mine.Annotations = map[string]string{ocispec.AnnotationRefName: "mine"}
	must(t, one.Publish(t.Context(), "", before, mustJSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{mine}})))
	shown := one.shownTags("")
	if shown["mine"] != c.desc.Digest || shown["theirs"] == "" {
		t.Errorf("after both wrote: %v", shown)
	}
}

func TestDroppedTagStaysUnlessDeletingIsAllowed(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		b := newMemBucket()
		h := newHost(t, b, func(o *Options) { o.AllowDelete = allowed })
		must(t, h.export("", "v1", newCache(t, random(10, 1))))
		before, err := h.Index(t.Context(), "")
		must(t, err)
		must(t, h.Publish(t.Context(), "", before, []byte(`{"manifests":[]}`)))
		if _, ok := b.name("v1"); ok == allowed {
			t.Errorf("deleting allowed %v, name still there %v", allowed, ok)
		}
		if err := h.Delete(t.Context(), "v1"); errors.Is(err, iofs.ErrPermission) == allowed {
			t.Errorf("deleting allowed %v: delete of the name: %v", allowed, err)
		}
	}
}

func TestForgetHidesOnlyWhatNoNameReaches(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(10, 1))
	must(t, h.export("", "latest", c))
	orphan := h.mustWrite([]byte("orphan"))
	must(t, h.Flush(t.Context()))
	layer := digest.FromBytes(c.layers[0])
	for _, d := range []digest.Digest{orphan, layer} {
		must(t, h.Forget(t.Context(), d))
		if _, ok := b.blob(d); !ok {
			t.Errorf("forgetting deleted %s from the bucket", d)
		}
	}
	h.restart()
	if _, err := h.Stat(t.Context(), orphan); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("a removed blob that no name reaches is shown: %v", err)
	}
	if _, err := h.read(layer); err != nil {
		t.Errorf("a removed blob that a name reaches does not come back: %v", err)
	}
	h.mustWrite([]byte("orphan"))
	if _, err := h.Stat(t.Context(), orphan); err != nil {
		t.Errorf("a removed blob that was written again is not shown: %v", err)
	}
}

func TestListingsOfBlobs(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c, other := newCache(t, random(10, 1)), newCache(t, random(10, 2))
	must(t, h.export("app", "latest", c))
	must(t, h.export("lib", "latest", other))
	list := func(h *host, scope string) map[digest.Digest]bool {
		t.Helper()
		ds := map[digest.Digest]bool{}
		for d, err := range h.All(t.Context(), scope) {
			must(t, err)
			if ds[d] {
				t.Errorf("%s is listed twice", d)
			}
			ds[d] = true
		}
		return ds
	}
	cold := newHost(t, b, nil)
	cold.shownTags("")
	for _, h := range []*host{h, cold} {
		if got := list(h, ""); len(got) != 6 {
			t.Errorf("the root lists %d blobs, not 6", len(got))
		}
		app := list(h, "app")
		if len(app) != 3 || !app[digest.FromBytes(c.layers[0])] {
			t.Errorf("the layout of a name lists %v", app)
		}
	}
}

func TestOfflineReadsWhatIsWarm(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(2<<20, 1), random(10, 2))
	must(t, h.export("", "latest", c))
	must(t, h.o.Disk.Remove(digest.FromBytes(c.layers[1])))
	b.failing(down)
	if h.shownTags("")["latest"] == "" {
		t.Error("without a bucket the names are gone")
	}
	if _, err := h.read(digest.FromBytes(c.layers[0])); err != nil {
		t.Errorf("read of a warm blob: %v", err)
	}
	if _, err := h.read(digest.FromBytes(c.layers[1])); err == nil {
		t.Error("read of a cold blob succeeded without a bucket")
	}
	h.o.Offline = true
	before := b.count("listnames") + b.count("stat") + b.count("open")
	h.restart()
	h.shownTags("")
	_, _ = h.read(digest.FromBytes(c.layers[1]))
	if after := b.count("listnames") + b.count("stat") + b.count("open"); after != before {
		t.Errorf("offline made %d requests", after-before)
	}
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

func TestAStatCostsNoMoreThanOneHead(t *testing.T) {
	b := newMemBucket()
	d := b.put([]byte("cold"))
	h := newHost(t, b, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if size, err := h.Stat(t.Context(), d); err != nil || size != 4 {
				t.Errorf("stat: %d, %v", size, err)
			}
		})
	}
	wg.Wait()
	h.restart() // what is known survives
	_, err := h.Stat(t.Context(), d)
	must(t, err)
	if got := b.count("stat"); got != 1 {
		t.Errorf("%d HEADs for one blob", got)
	}
}

func TestReadsFetchOnlyWhatTheyNeed(t *testing.T) {
	b := newMemBucket()
	want := random(64<<20, 1)
	d := b.put(want)
	h := newHost(t, b, nil)
	r, err := h.Open(t.Context(), d)
	must(t, err)
	defer func() { _ = r.Close() }() // it was only read
	p := make([]byte, 4096)
	_, err = r.ReadAt(t.Context(), p, 40<<20)
	must(t, err)
	if !bytes.Equal(p, want[40<<20:40<<20+4096]) {
		t.Error("wrong bytes")
	}
	if got := h.Status().Counters.FetchedBytes; got > 8<<20 {
		t.Errorf("%d bytes were fetched for 4096", got)
	}
}

func TestReadersShareADownload(t *testing.T) {
	b := newMemBucket()
	want := random(20<<20, 1)
	d := b.put(want)
	h := newHost(t, b, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := h.read(d)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("read: %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if got := h.Status().Counters.FetchedBytes; got != int64(len(want)) {
		t.Errorf("%d bytes were fetched of %d", got, len(want))
	}
}

func TestReadGoesOnAfterABrokenTransfer(t *testing.T) {
	b := newMemBucket()
	want := random(9<<20, 1)
	d := b.put(want)
	h := newHost(t, b, nil)
	var mu sync.Mutex
	failed := map[string]bool{}
	b.failing(func(_ context.Context, verb, key string) error {
		mu.Lock()
		defer mu.Unlock()
		if verb == "open" && !failed[key] {
			failed[key] = true
			return errors.New("connection reset by peer")
		}
		return nil
	})
	got, err := h.read(d)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("wrong bytes")
	}
}

func TestEveryHostSeesWhatWasPublished(t *testing.T) {
	b := newMemBucket()
	one, two := newHost(t, b, nil), newHost(t, b, nil)
	c := newCache(t, random(10, 1))
	layer := digest.FromBytes(c.layers[0])
	if _, err := two.Stat(t.Context(), layer); !errors.Is(err, iofs.ErrNotExist) {
		t.Fatal(err)
	}
	must(t, one.export("", "latest", c))
	if two.shownTags("")["latest"] != c.desc.Digest {
		t.Error("the other host does not see the name")
	}
	if _, err := two.Stat(t.Context(), layer); err != nil {
		t.Errorf("the name is seen, but a blob of it is still doubted: %v", err)
	}
	c2 := newCache(t, random(10, 2))
	must(t, one.export("", "latest", c2))
	if two.shownTags("")["latest"] != c2.desc.Digest {
		t.Error("the other host sees the old version")
	}
	err := b.PutName(t.Context(), "buildkit", []byte("not json"), nil)
	must(t, err)
	if got := two.shownTags(""); len(got) != 0 || two.Status().Broken["buildkit"] == "" {
		t.Errorf("a name that cannot be read: shown %v, broken %v", got, two.Status().Broken)
	}
	must(t, b.DeleteName(t.Context(), "buildkit"))
	if got := two.Status().Names; len(two.shownTags("")) != 0 || two.Status().Names != 0 {
		t.Errorf("a deleted name is still known: %d", got)
	}
}

// TestAPublicationIsOneRequest is what the update of index.json costs, under a lock that other builds find
// taken.
func TestAPublicationIsOneRequest(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(10, 1))
	must(t, h.export("", "first", c))
	before := h.guard.requests.Load()
	empty, err := renderIndex(nil)
	must(t, err)
	d := c.desc
	d.Annotations = map[string]string{ocispec.AnnotationRefName: "second"}
	after := mustJSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{d}})
	must(t, h.Publish(t.Context(), "", empty, after))
	if n := h.guard.requests.Load() - before; n != 1 || b.count("putname") != 2 {
		t.Errorf("%d requests, of them %d for names", n, b.count("putname")-1)
	}
}

// TestNameIsReadAgainAfterItsPublication: another host may write the name within the same second, with the
// same body, and a listing shows no difference.
func TestNameIsReadAgainAfterItsPublication(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	m := mustJSON(t, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON})
	h.mustWrite([]byte("{}"))
	ours := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: h.mustWrite(m), Size: int64(len(m))}
	must(t, h.tag("", "kept", ours))
	must(t, h.tag("", "taken", ours))
	theirs := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: b.put([]byte("other")), Size: 5}
	b.mu.Lock()
	n := b.names["taken"]
	n.Descriptor = &theirs
	b.names["taken"] = n
	b.mu.Unlock()
	if diff := cmp.Diff(map[string]digest.Digest{"kept": ours.Digest, "taken": theirs.Digest}, h.shownTags("")); diff != "" {
		t.Error(diff)
	}
	if n, ok, err := h.index.Name("kept"); err != nil || !ok || n.Version.LastModified.IsZero() || len(n.Closure) == 0 {
		t.Errorf("read again: %+v, %v, want a version, and the closure that was known", n, err)
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
