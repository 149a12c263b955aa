package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// TestHostsTakeTurns has users of mounts on several hosts and clients of type=s3 alternate on the same names,
// round after round. Every import is a full hit, whoever exported last and with what, and gives the same
// files as the build that was exported.
func TestHostsTakeTurns(t *testing.T) {
	rounds := 3
	if os.Getenv(long) != "" {
		rounds = 20
	}
	config := anyServer(t).config(t)
	p := newPlainS3(t, config)
	writer, reader := newBuilder(t), newBuilder(t)
	hosts := []*host{newHost(t, config), newHost(t, config), newHost(t, config, "--write", "back")}
	local := func(h *host, name, how string) string { return "type=local," + how + "=" + h.path(name) }
	for round := range rounds {
		for i, name := range []string{"app", "team/lib"} {
			dir, plain := newContext(t), filepath.Join(t.TempDir(), "plain")
			from := (round + i) % (len(hosts) + 1) // the last is a client of type=s3
			to := "type=s3,mode=max,name=" + name + "," + csv(config)
			if from < len(hosts) {
				to = local(hosts[from], name, "mode=max,dest")
			}
			writer.build(dir, "--no-cache", "--output", "type=local,dest="+plain, "--export-cache", to)
			if from < len(hosts) {
				hosts[from].do("flush", hosts[from].mnt)
			}
			time.Sleep(time.Second) // --refresh
			want := tree(t, plain)
			other := (from + 1 + round/2) % len(hosts)
			for who, source := range map[string]string{
				"type=s3":                  "type=s3,name=" + name + "," + csv(config),
				fmt.Sprint("host ", other): local(hosts[other], name, "src"),
			} {
				reader.forget()
				out := filepath.Join(t.TempDir(), "out")
				reader.build(dir, "--import-cache", source, "--output", "type=local,dest="+out).wantAllCached(t)
				if diff := cmp.Diff(want, tree(t, out)); diff != "" {
					t.Errorf("round %d: %s, written by %d, imported by %s: other files (-want +got):\n%s", round, name, from, who, diff)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		}
		p.wantWhole()
	}
	p.wantRight(map[digest.Digest]bool{})
}

// TestHostsSeeWhatOthersDo: a name that was published, overwritten by type=s3 or deleted is that everywhere,
// within --refresh, also where another version of it is warm.
func TestHostsSeeWhatOthersDo(t *testing.T) {
	const refresh = 300 * time.Millisecond
	config := anyServer(t).config(t)
	p := newPlainS3(t, config)
	one := newHost(t, config, "--refresh", refresh.String(), "--allow-delete")
	two := newHost(t, config, "--refresh", refresh.String())
	// seen is what two sees of the name, at the first open that must see it.
	seen := func() digest.Digest {
		t.Helper()
		time.Sleep(refresh)
		d, err := importFrom(two.path("app"), "latest")
		if os.IsNotExist(err) || d == "" {
			return ""
		}
		must(t, err)
		return d
	}
	for i := range 5 {
		c := newSynthetic(t, []byte(fmt.Sprint("layer ", i)), []byte("shared"))
		must(t, c.exportTo(t.Context(), one.path("app"), "latest"))
		if d := seen(); d != c.desc.Digest {
			t.Errorf("published was %s, seen is %q", c.desc.Digest, d)
		}
	}

	b, dir := newBuilder(t), newContext(t)
	b.build(dir, "--export-cache", "type=s3,mode=max,name=app,"+csv(config))
	first := seen()
	if n := p.names()["app"]; n.manifest != nil || first == "" {
		t.Fatalf("type=s3 has not overwritten the name: %+v, seen is %q", n.manifest, first)
	}
	b.forget()
	b.build(dir, "--import-cache", "type=local,src="+two.path("app")).wantAllCached(t)

	must(t, os.Remove(one.path("app", "index.json")))
	if d := seen(); d != "" || len(p.names()) != 0 {
		t.Errorf("the deleted name is seen as %s; in the bucket are %v", d, p.names())
	}
	c := newSynthetic(t, []byte("again"))
	must(t, c.exportTo(t.Context(), two.path("app"), "latest"))
	time.Sleep(refresh)
	if d, err := importFrom(one.path("app"), "latest"); err != nil || d != c.desc.Digest {
		t.Errorf("published again was %s, seen is %q, %v", c.desc.Digest, d, err)
	}
}

// TestRepublicationTouchesTheClosure: rules that expire what is old spare what is exported again, all of it,
// also if nothing of it has changed.
func TestRepublicationTouchesTheClosure(t *testing.T) {
	onEachServer(t, func(t *testing.T, s *server) {
		config := s.config(t)
		p := newPlainS3(t, config)
		b, dir := newBuilder(t), newContext(t)
		h := newHostFor(t, csv(config, "touch_refresh=1s"))
		cache := "type=local,mode=max,dest=" + h.path("app")
		b.build(dir, "--export-cache", cache)
		before := p.list("")
		time.Sleep(5 * time.Second) // times of objects are of whole seconds, and what is younger counts as touched
		h.remount()                 // nothing that was seen a moment ago is believed
		b.build(dir, "--export-cache", cache)
		h.umount() // which waits for what is touched with nobody waiting
		after := p.list("")
		for key, was := range before {
			if now := after[key]; !now.LastModified.After(was.LastModified) {
				t.Errorf("%s is as old as it was: %s", key, now.LastModified)
			}
		}
		if len(after) != len(before) {
			t.Errorf("%d objects, and then %d: the export was not the same", len(before), len(after))
		}
		h.mount()
	})
}

// TestManyHostsAtOnce: hosts that publish at the same time, each its own names and all of them one, lose
// nothing of each other.
func TestManyHostsAtOnce(t *testing.T) {
	const n = 4
	config := anyServer(t).config(t)
	p := newPlainS3(t, config)
	var hosts []*host
	for range n {
		hosts = append(hosts, newHost(t, config))
	}
	want := map[string]digest.Digest{}
	shared := map[digest.Digest]bool{}
	errs := make(chan error)
	for i, h := range hosts {
		own, common := newSynthetic(t, []byte(fmt.Sprint("own ", i)), []byte("base")), newSynthetic(t, []byte(fmt.Sprint("common ", i)), []byte("base"))
		want[fmt.Sprint("v", i)] = own.desc.Digest
		shared[common.desc.Digest] = true
		go func() { errs <- own.exportTo(t.Context(), h.mnt, fmt.Sprint("v", i)) }()
		go func() { errs <- common.exportTo(t.Context(), h.path("common"), "latest") }()
	}
	for range 2 * n {
		must(t, <-errs)
	}
	names := p.wantWhole()
	for name, d := range want {
		if m := names[name].manifest; m == nil || m.Digest != d {
			t.Errorf("%s is %+v", name, m)
		}
	}
	if m := names["common"].manifest; m == nil || !shared[m.Digest] {
		t.Errorf("the common name is %+v", m)
	}
	time.Sleep(time.Second)
	for _, h := range hosts {
		for name, d := range want {
			if got, err := importFrom(h.mnt, name); err != nil || got != d {
				t.Errorf("%s is %s, %v", name, got, err)
			}
		}
	}
}
