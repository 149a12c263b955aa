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
	p.survey.began = p.survey.began.Add(-resurvey)
	wantFound(t, p, digest.FromString("one more"), false)
	if n := b.count("list"); n != 2 {
		t.Errorf("%d listings: the second one is to come before the first is too old", n)
	}
	p.survey.began = p.survey.began.Add(-doubt)
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
	if time.Since(p.large) > time.Minute {
		t.Error("the bucket will be listed again soon")
	}
}
