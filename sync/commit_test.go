package sync

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/disk"
)

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
	h.Prepare(t.Context(), "", path)
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
	h.Prepare(t.Context(), "", path)
	b.failing(nil)
	h.forgive()
	must(t, h.Commit(t.Context(), path, c.desc.Digest))
}

// TestPrepareThatIsGivenUpFailsNoCommit: a client that is interrupted in its close renames all the same.
func TestPrepareThatIsGivenUpFailsNoCommit(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	c := newCache(t, random(100, 1))
	ctx, giveUp := context.WithCancel(t.Context())
	goOn := make(chan struct{})
	b.failing(func(_ context.Context, verb, _ string) error {
		if verb == "put" {
			giveUp()
			<-goOn
		}
		return nil
	})
	for _, l := range append(c.layers, c.config) {
		h.mustWrite(l)
	}
	path := filepath.Join(h.o.Disk.Scratch(), "manifest")
	must(t, os.WriteFile(path, c.manifest, 0o644))
	h.Prepare(ctx, "", path)
	close(goOn)
	must(t, h.Commit(t.Context(), path, c.desc.Digest))
}

// TestNamesAreListedBesideTheManifest: who commits a manifest opens index.json next.
func TestNamesAreListedBesideTheManifest(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, func(o *Options) { o.Refresh = time.Hour })
	c := newCache(t, random(100, 1))
	for _, l := range append(c.layers, c.config) {
		h.mustWrite(l)
	}
	path := filepath.Join(h.o.Disk.Scratch(), "manifest")
	must(t, os.WriteFile(path, c.manifest, 0o644))
	listed := make(chan struct{}, 1)
	b.failing(func(_ context.Context, verb, key string) error {
		switch {
		case verb == "listnames":
			listed <- struct{}{}
		case verb == "put" && key == string(c.desc.Digest):
			select {
			case <-listed:
			case <-time.After(10 * time.Second):
				return errors.New("the names are not listed beside it")
			}
		}
		return nil
	})
	h.Prepare(t.Context(), "app", path)
	must(t, h.Commit(t.Context(), path, c.desc.Digest)) // which waits for the listing
	must(t, h.tag("app", "latest", c.desc))
	if n := b.count("listnames"); n != 1 {
		t.Errorf("names were listed %d times", n)
	}
}

func TestPrepareLeavesAnIndexFileAlone(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	path := filepath.Join(h.o.Disk.Scratch(), "index.json.tmp")
	must(t, os.WriteFile(path, indexOf(t, tagged("somewhere", "v1")), 0o644))
	h.Prepare(t.Context(), "", path)
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

// TestIgnoredErrorsAreTriedAgain: with ignore-error=true an export passes although the bucket fails, and is
// published when it does not any more. What no retry would mend is still told.
func TestIgnoredErrorsAreTriedAgain(t *testing.T) {
	denied := func(_ context.Context, verb, _ string) error {
		if verb == "put" || verb == "putname" {
			return bucket.ErrDenied
		}
		return nil
	}
	for what, fault := range map[string]func(context.Context, string, string) error{"no bucket": down, "no permission": denied} {
		t.Run(what, func(t *testing.T) {
			b := newMemBucket()
			h := newHost(t, b, func(o *Options) { o.IgnoreError = true })
			b.failing(fault)
			c := newCache(t, random(100, 1))
			must(t, h.export("", "latest", c))
			if s := h.Status(); s.Pending != 1 || s.Counters.Errors == 0 || h.shownTags("")["latest"] != c.desc.Digest {
				t.Errorf("status of an export whose error was ignored: %+v", s)
			}
			path := filepath.Join(h.o.Disk.Scratch(), "data")
			must(t, os.WriteFile(path, []byte("these bytes"), 0o644))
			if err := h.Commit(t.Context(), path, digest.FromString("other bytes")); !errors.Is(err, disk.ErrMismatch) {
				t.Errorf("commit under a wrong digest: %v", err)
			}
			b.failing(nil)
			h.forgive()
			must(t, h.Flush(t.Context()))
			if _, ok := b.name("buildkit"); !ok {
				t.Error("the name is not in the bucket")
			}
		})
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
