package sync

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/index"
)

// surveying is a presence whose surveys are over when an answer is there.
func surveying(t *testing.T, b *memBucket) *presence {
	t.Helper()
	x, err := index.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { must(t, x.Close()) })
	return newPresence(b, x, func(f func(context.Context)) { f(t.Context()) })
}

func wantFound(t *testing.T, p *presence, d digest.Digest, want bool) {
	t.Helper()
	if a, err := p.ask(t.Context(), d, believe); err != nil || a.found != want {
		t.Errorf("blob %s: found %v, %v", d, a.found, err)
	}
}

// TestAnExportAsksOnceForAll: who looks for many blobs that are not there is told so by one listing; what is
// there is looked at.
func TestAnExportAsksOnceForAll(t *testing.T) {
	b := newMemBucket()
	there := b.put([]byte("there"))
	p := surveying(t, b)
	for i := range 100 {
		wantFound(t, p, digest.FromString(fmt.Sprint("new ", i)), false)
	}
	wantFound(t, p, there, true)
	if stats, lists := b.count("stat"), b.count("list"); stats != 3 || lists != 1 { // the two first, and what is there
		t.Errorf("%d HEADs and %d listings", stats, lists)
	}
	late := b.put([]byte("another host wrote it, and published a name"))
	p.reconsider()
	wantFound(t, p, late, true)
}

// TestSurveysGrowOld as answers do.
func TestSurveysGrowOld(t *testing.T) {
	b := newMemBucket()
	p := surveying(t, b)
	for i := range 3 {
		wantFound(t, p, digest.FromString(fmt.Sprint("new ", i)), false)
	}
	late := b.put([]byte("another host wrote it"))
	p.last.began = p.last.began.Add(-resurvey)
	wantFound(t, p, digest.FromString("one more"), false)
	if n := b.count("list"); n != 2 {
		t.Errorf("%d listings: the second one is to come before the first is too old", n)
	}
	p.last.began = p.last.began.Add(-doubt)
	stats := b.count("stat")
	wantFound(t, p, late, true)
	if b.count("stat") != stats+1 {
		t.Error("a survey that is too old has answered")
	}
}

// TestNoSurvey of a bucket that cannot be listed, or for blobs that are missed now and then.
func TestNoSurvey(t *testing.T) {
	b := newMemBucket()
	p := surveying(t, b)
	for i := range 3 {
		wantFound(t, p, digest.FromString(fmt.Sprint("rare ", i)), false)
		p.lastMiss = p.lastMiss.Add(-2 * missesWithin)
	}
	if n := b.count("list"); n != 0 {
		t.Errorf("%d listings", n)
	}
	b.failing(func(_ context.Context, verb, _ string) error {
		if verb == "list" {
			return fmt.Errorf("denied")
		}
		return nil
	})
	for i := range 10 {
		wantFound(t, p, digest.FromString(fmt.Sprint("new ", i)), false)
	}
	if stats, lists := b.count("stat"), b.count("list"); stats != 13 || lists != 1 {
		t.Errorf("%d HEADs and %d listings", stats, lists)
	}
	if time.Since(p.counted) > time.Minute {
		t.Error("the bucket will be listed again soon")
	}
}

// TestACacheIsLookedForWithOneListing: what it names is not asked for one by one, but for what the listing lacks.
func TestACacheIsLookedForWithOneListing(t *testing.T) {
	b := newMemBucket()
	c := manyLayers(t, 20)
	must(t, newHost(t, b, nil).export("", "v1", c))
	b.remove(digest.FromBytes(c.layers[0]))
	stats := b.count("stat")
	h := newHost(t, b, nil)
	if _, m := h.shownManifest("v1"); len(m.Layers) != 19 {
		t.Errorf("%d layers are shown, and 19 are there", len(m.Layers))
	}
	for _, l := range c.layers[1:] {
		_, err := h.Stat(t.Context(), digest.FromBytes(l))
		must(t, err)
	}
	if stats, lists := b.count("stat")-stats, b.count("list"); stats != 1 || lists != 1 { // what is gone
		t.Errorf("%d HEADs and %d listings", stats, lists)
	}
	_, err := h.presence.ask(t.Context(), digest.FromBytes(c.layers[1]), rely)
	if must(t, err); b.count("stat") != stats+2 {
		t.Error("what a listing says is relied on for a publication")
	}
}

// TestWhoLooksAtOneNameFindsItsConfigHere: it is fetched when index.json is opened. Of many names none is.
func TestWhoLooksAtOneNameFindsItsConfigHere(t *testing.T) {
	b := newMemBucket()
	c := manyLayers(t, 2)
	one := newHost(t, b, nil)
	must(t, one.export("app", "latest", c))
	must(t, one.export("other", "latest", manyLayers(t, 3)))
	h := newHost(t, b, nil)
	h.shownTags("")
	h.shownTags("app") // nothing is due any more
	h.chains.mu.Lock()
	if n := len(h.chains.recent); n > 0 {
		t.Errorf("the order of %d manifests is read for nothing", n)
	}
	h.chains.mu.Unlock()
	h = newHost(t, b, nil)
	h.shownTags("app")
	if warm := h.awaitWarm(2); !warm[c.desc.Digest] || !warm[digest.FromBytes(c.config)] {
		t.Errorf("%v were fetched", warm)
	}
}

// TestALargeBucketIsNotListedForAnImport but once, and no import waits for the end of that.
func TestALargeBucketIsNotListedForAnImport(t *testing.T) {
	b := newMemBucket()
	must(t, newHost(t, b, nil).export("", "v1", manyLayers(t, 20)))
	for i := range onePage {
		b.put([]byte(fmt.Sprint("other ", i)))
	}
	slow := make(chan struct{})
	b.failing(func(_ context.Context, verb, _ string) error {
		if verb == "list" {
			<-slow
		}
		return nil
	})
	h := newHost(t, b, nil)
	if _, m := h.shownManifest("v1"); len(m.Layers) != 20 {
		t.Errorf("%d layers are shown", len(m.Layers))
	}
	h.presence.mu.Lock()
	coming := h.presence.surveying
	h.presence.mu.Unlock()
	close(slow)
	<-coming
	h.presence.expect(t.Context(), worthAPage)
	if n := b.count("list"); n != 1 {
		t.Errorf("%d listings", n)
	}
}

func manyLayers(t *testing.T, n int) cache {
	var layers [][]byte
	for i := range n {
		layers = append(layers, random(10, uint64(i)))
	}
	return newCache(t, layers...)
}
