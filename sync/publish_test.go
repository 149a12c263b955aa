package sync

import (
	"context"
	"errors"
	iofs "io/fs"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestTheNewestPublicationOfANameIsTheLast: one that takes long must not come after the next.
func TestTheNewestPublicationOfANameIsTheLast(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, func(o *Options) { o.WriteBack = true })
	begun, gate := make(chan struct{}, 1), make(chan struct{})
	first := true
	b.failing(func(_ context.Context, verb, _ string) error {
		if verb == "putname" && first {
			first = false
			begun <- struct{}{}
			<-gate
		}
		return nil
	})
	older, newer := newCache(t, random(10, 1)), newCache(t, random(10, 2))
	must(t, h.export("", "latest", older))
	doc, _ := h.pending.get(defaultName)
	<-begun
	must(t, h.export("", "latest", newer))
	flushed := make(chan error)
	go func() { flushed <- h.Flush(t.Context()) }()
	select {
	case err := <-flushed:
		t.Fatalf("the newer publication overtook the older one: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(gate)
	must(t, <-flushed)
	must(t, h.publishDoc(t.Context(), defaultName, doc)) // whose turn came late
	if n, _ := b.name("buildkit"); n.Descriptor == nil || n.Descriptor.Digest != newer.desc.Digest {
		t.Errorf("the bucket has %+v", n.Descriptor)
	}
	if d := h.shownTags("")["latest"]; d != newer.desc.Digest {
		t.Errorf("shown: %s", d)
	}
}

// TestWhatWasAcknowledgedIsShownUntilItIsPublished, whatever comes from the bucket meanwhile.
func TestWhatWasAcknowledgedIsShownUntilItIsPublished(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, func(o *Options) { o.WriteBack = true })
	must(t, newHost(t, b, nil).export("", "latest", newCache(t, random(10, 1))))
	h.shownTags("")
	b.failing(func(_ context.Context, verb, _ string) error {
		if verb == "putname" {
			return errors.New("denied")
		}
		return nil
	})
	mine := newCache(t, random(10, 2))
	must(t, h.export("", "latest", mine))
	must(t, h.learn(indexName(newCache(t, random(10, 3)).desc)))
	for range 2 {
		if d := h.shownTags("")["latest"]; d != mine.desc.Digest {
			t.Errorf("shown: %s", d)
		}
		h.restart()
	}
}

func TestADeletedNameIsNotPublishedLater(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, func(o *Options) { o.WriteBack, o.AllowDelete = true, true })
	b.failing(func(_ context.Context, verb, _ string) error {
		if verb == "putname" {
			return errors.New("denied")
		}
		return nil
	})
	must(t, h.export("", "v1", newCache(t, random(10, 1))))
	must(t, h.Delete(t.Context(), "v1"))
	b.failing(nil)
	must(t, h.Flush(t.Context()))
	h.restart()
	must(t, h.Flush(t.Context()))
	if n, ok := b.name("v1"); ok {
		t.Errorf("the deleted name is back: %+v", n)
	}
}

// TestTheSameExportAgainKeepsItsBlobsYoung: BuildKit writes no manifest that is there, and the same index.json.
func TestTheSameExportAgainKeepsItsBlobsYoung(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, func(o *Options) { o.TouchRefresh = time.Hour })
	c := newCache(t, random(100, 1))
	must(t, h.export("", "other", newCache(t, random(100, 2))))
	must(t, h.export("", "latest", c))
	for _, blob := range [][]byte{c.layers[0], c.config, c.manifest} {
		b.putAs(digest.FromBytes(blob), blob, time.Now().Add(-2*time.Hour))
	}
	h.restart()
	puts := b.count("putname")
	before, err := h.Index(t.Context(), "")
	must(t, err)
	es, err := parseIndex(before)
	must(t, err)
	put := mustJSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{es.by["other"], es.by["latest"]}})
	must(t, h.Publish(t.Context(), "", before, put))
	must(t, h.Flush(t.Context())) // as an unmount does
	h.stop()
	if got := b.count("touch"); got != 3 || b.count("putname") != puts+1 {
		t.Errorf("%d blobs were touched, %d names written", got, b.count("putname")-puts)
	}
}

func TestABlobThatIsGoneWhenItIsTouchedIsUploadedAgain(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, func(o *Options) { o.TouchRefresh = time.Hour })
	c := newCache(t, random(100, 1))
	must(t, h.export("", "latest", c))
	layer := digest.FromBytes(c.layers[0])
	b.putAs(layer, c.layers[0], time.Now().Add(-2*time.Hour))
	h.restart()
	b.failing(func(_ context.Context, verb, _ string) error {
		if verb == "touch" {
			b.remove(layer)
		}
		return nil
	})
	must(t, h.barrier(t.Context(), c.desc.Digest, c.manifest))
	if _, ok := b.blob(layer); !ok {
		t.Error("the barrier was passed without the blob")
	}
}

// TestWriteBackStagesWhatTheBucketMayNotHave: a warm copy is evicted when there is need, and the blob would be
// lost.
func TestWriteBackStagesWhatTheBucketMayNotHave(t *testing.T) {
	for what, fail := range map[string]func(context.Context, string, string) error{"outage": down, "lost": nil} {
		b := newMemBucket()
		h := newHost(t, b, func(o *Options) { o.WriteBack = true })
		c := newCache(t, random(100, 1))
		layer := h.mustWrite(c.layers[0])
		must(t, h.Flush(t.Context()))
		b.remove(layer)
		h.restart()
		b.failing(fail)
		h.mustWrite(c.config)
		h.mustWrite(c.manifest)
		must(t, h.tag("", "latest", c.desc))
		must(t, h.o.Disk.Remove(layer)) // as eviction does
		b.failing(nil)
		h.forgive()
		if err := h.Flush(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if _, ok := b.blob(layer); !ok {
			t.Errorf("%s: a name was acknowledged, and a layer of it is lost", what)
		}
	}
}

// TestAnOpenDoesNotTakeAListingThatBeganTooEarly: what was published before the open would be missing in it.
func TestAnOpenDoesNotTakeAListingThatBeganTooEarly(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	listed, gate := make(chan struct{}), make(chan struct{})
	slow := true
	b.failing(func(_ context.Context, verb, _ string) error {
		if verb == "getname" && slow {
			slow = false
			close(listed)
			<-gate
		}
		return nil
	})
	must(t, b.PutName(t.Context(), "one", []byte("{}"), &ocispec.Descriptor{Digest: b.put([]byte("1")), Size: 1}))
	go func() { _, _ = h.Index(t.Context(), "") }()
	<-listed
	must(t, b.PutName(t.Context(), "two", []byte("{}"), &ocispec.Descriptor{Digest: b.put([]byte("2")), Size: 1}))
	time.AfterFunc(50*time.Millisecond, func() { close(gate) })
	if shown := h.shownTags(""); shown["two"] == "" {
		t.Errorf("shown: %v", shown)
	}
}

// TestANameThatCannotBeReadForNowStaysAsItWas, and does not keep others from being read.
func TestANameThatCannotBeReadForNowStaysAsItWas(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	put := func(name, body string) digest.Digest {
		d := b.put([]byte(body))
		must(t, b.PutName(t.Context(), name, []byte("{}"), &ocispec.Descriptor{Digest: d, Size: int64(len(body))}))
		return d
	}
	was := put("a", "1")
	h.shownTags("")
	b.failing(func(_ context.Context, verb, key string) error {
		if verb == "getname" && key == "a" {
			return errors.New("SlowDown (status 503)")
		}
		return nil
	})
	put("a", "2")
	other := put("b", "3")
	for range 3 {
		if shown := h.shownTags(""); shown["a"] != was || shown["b"] != other {
			t.Errorf("shown: %v", shown)
		}
	}
	if got := b.count("getname"); got != 3 {
		t.Errorf("%d reads of names", got)
	}
}

// TestRemovedBlobThatIsPublishedSinceIsShown: it was hidden because no name reached it.
func TestRemovedBlobThatIsPublishedSinceIsShown(t *testing.T) {
	b := newMemBucket()
	h, other := newHost(t, b, nil), newHost(t, b, nil)
	c := newCache(t, random(100, 1))
	layer := h.mustWrite(c.layers[0])
	must(t, h.Flush(t.Context()))
	must(t, h.Forget(t.Context(), layer))
	if _, err := h.Stat(t.Context(), layer); !errors.Is(err, iofs.ErrNotExist) {
		t.Fatalf("a removed blob is shown: %v", err)
	}
	must(t, other.export("", "latest", c))
	h.shownTags("")
	if _, err := h.Stat(t.Context(), layer); err != nil {
		t.Errorf("a blob of a name: %v", err)
	}
}
