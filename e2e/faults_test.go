package e2e

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mortal is an S3 server of a test's own, which can hang, die and come back.
type mortal struct {
	*server
	t    testing.TB
	p    *process
	args []string
	env  []string
	dir  string
}

func newMortal(t testing.TB) *mortal {
	t.Helper()
	addr, err := freePort()
	must(t, err)
	dir := t.TempDir()
	m := &mortal{
		server: &server{name: "minio", endpoint: "http://" + addr, key: "e2e-mortal", secret: "e2e-secret"},
		t:      t, dir: dir, args: []string{"server", "--quiet", "--address", addr, filepath.Join(dir, "data")},
		env: []string{"MINIO_ROOT_USER=e2e-mortal", "MINIO_ROOT_PASSWORD=e2e-secret", "MINIO_CI_CD=on", "MINIO_BROWSER=off"},
	}
	m.start()
	t.Cleanup(m.kill)
	return m
}

// start starts the server, with what it had.
func (m *mortal) start() {
	m.t.Helper()
	var err error
	m.p, err = startProcess(m.dir, m.env, tool(m.t, "minio"), m.args...)
	must(m.t, err)
	must(m.t, m.p.awaitUp(func() bool { return answers(m.endpoint + "/minio/health/ready") }))
}

// kill ends the server: from now on connections are refused.
func (m *mortal) kill() {
	_ = m.p.cmd.Process.Kill()
	<-m.p.done
}

// hang stops the server as it is: connections are taken, and not answered.
func (m *mortal) hang() { must(m.t, m.p.cmd.Process.Signal(syscall.SIGSTOP)) }

// large is a build whose cache takes a while at a megabyte or two per second.
const large = `FROM scratch AS base
COPY busybox /bin/sh
COPY busybox /bin/busybox
FROM base AS one
COPY one /one
RUN busybox cp /one /one-copy
FROM base
COPY two /two
COPY --from=one /one-copy /one
RUN busybox sha256sum /one /two > /sums
`

func newLargeContext(t testing.TB) string {
	t.Helper()
	return contextOf(t, large, map[string]int{"one": 3 << 20, "two": 5 << 20})
}

// bounded fails if f takes longer than a build may that is held up by its cache.
func bounded(t testing.TB, f func()) {
	t.Helper()
	began := time.Now()
	f()
	took := time.Since(began)
	t.Logf("took %s", took.Round(time.Millisecond))
	if took > 90*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestExportWithoutABucket: with the bucket gone before or in the midst of an export, the build fails at its
// export step, within a bounded time and with the reason; with ignore-error=true it does not. When the
// bucket is back, so is the cache.
func TestExportWithoutABucket(t *testing.T) {
	for _, c := range []struct {
		name   string
		middle bool
		gone   func(*mortal)
		back   func(*mortal)
	}{
		{"refused before", false, (*mortal).kill, (*mortal).start},
		{"refused in the middle", true, (*mortal).kill, (*mortal).start},
		{"hangs in the middle", true, (*mortal).hang, func(m *mortal) { m.kill(); m.start() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMortal(t)
			config := m.config(t)
			h := newHostFor(t, csv(config, "upload_limit=2MiB"), "--patience", "3s")
			b, dir := newBuilder(t), newLargeContext(t)
			b.build(dir) // only the export is left to do
			cache := "type=local,mode=max,dest=" + h.path("app")
			if c.middle {
				go func() {
					eventually(t, "the export is under way", func() bool { return h.status().Counters.UploadedBytes > 1<<20 })
					c.gone(m)
				}()
			} else {
				c.gone(m)
			}
			var r build
			var err error
			bounded(t, func() { r, err = b.try(dir, "--export-cache", cache) })
			if err == nil || !strings.Contains(r.log, "input/output error") {
				t.Fatalf("the export: %v\n%s", err, r.failures())
			}
			s := h.status()
			const reason = "bucket does not answer"
			if s.BucketUp || s.LastError == nil || !strings.Contains(s.LastError.Text, reason) || !strings.Contains(h.log(), reason) {
				t.Errorf("status: up %v, last error %+v", s.BucketUp, s.LastError)
			}
			bounded(t, func() { b.build(dir, "--export-cache", cache+",ignore-error=true") })

			c.back(m)
			eventually(t, "the bucket is known to answer", func() bool { return h.status().BucketUp })
			b.build(dir, "--export-cache", cache)
			newPlainS3(t, config).wantWhole()
			other := newHost(t, config)
			newBuilder(t).build(dir, "--import-cache", "type=local,src="+other.path("app")).wantAllCached(t)
		})
	}
}

// TestAShortOutageCostsNoExport: the server is restarted in the midst of one.
func TestAShortOutageCostsNoExport(t *testing.T) {
	m := newMortal(t)
	config := m.config(t)
	h := newHostFor(t, csv(config, "upload_limit=3MiB"))
	b, dir := newBuilder(t), newLargeContext(t)
	b.build(dir)
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		eventually(t, "the export is under way", func() bool { return h.status().Counters.UploadedBytes > 1<<20 })
		m.kill()
		m.start()
	}()
	b.build(dir, "--export-cache", "type=local,mode=max,dest="+h.path("app"))
	<-restarted
	newPlainS3(t, config).wantWhole()
}

// TestImportWithoutABucket: what is warm is imported as if nothing were; of what is not, nothing is offered
// that would fail the build.
func TestImportWithoutABucket(t *testing.T) {
	m := newMortal(t)
	config := m.config(t)
	warm, cold := newHost(t, config, "--patience", "3s"), newHost(t, config, "--patience", "3s")
	b, dir := newBuilder(t), newLargeContext(t)
	b.build(dir, "--export-cache", "type=local,mode=max,dest="+warm.path("app"))
	if len(read(t, cold.path("app", "index.json"))) == 0 { // what is known there
		t.Fatal("an empty index.json")
	}
	m.kill()
	for _, h := range []*host{warm, cold} {
		bounded(t, func() {
			r := newBuilder(t).build(dir, "--import-cache", "type=local,src="+h.path("app"))
			if h == warm {
				r.wantAllCached(t)
			}
		})
	}
	offline := newHostFor(t, csv(config), "--offline")
	newBuilder(t).build(dir, "--import-cache", "type=local,src="+offline.path("app"))
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// TestImportThatLosesTheBucket ends within a bounded time; if the server is back soon, with everything.
func TestImportThatLosesTheBucket(t *testing.T) {
	for _, returns := range []bool{true, false} {
		m := newMortal(t)
		config := m.config(t)
		b, dir := newBuilder(t), newLargeContext(t)
		b.build(dir, "--export-cache", "type=local,mode=max,dest="+newHost(t, config).path("app"))
		patience := map[bool]string{true: "30s", false: "3s"}[returns]
		h := newHostFor(t, csv(config, "download_limit=3MiB"), "--patience", patience)
		lost := make(chan struct{})
		go func() {
			defer close(lost)
			eventually(t, "the import is under way", func() bool { return h.status().Counters.FetchedBytes > 1<<20 })
			m.kill()
			if returns {
				m.start()
			}
		}()
		bounded(t, func() {
			r, err := newBuilder(t).try(dir, "--import-cache", "type=local,src="+h.path("app"))
			if returns && err != nil {
				t.Errorf("import from a server that was restarted: %v\n%s", err, r.failures())
			} else if returns {
				r.wantAllCached(t)
			}
		})
		<-lost
	}
}

// TestBlobThatIsGoneIsWrittenAgain by the next export: from local disk, or by the builder.
func TestBlobThatIsGoneIsWrittenAgain(t *testing.T) {
	config := anyServer(t).config(t)
	p := newPlainS3(t, config)
	b, dir := newBuilder(t), newContext(t)
	h := newHost(t, config)
	cache := func(h *host) string { return "type=local,mode=max,dest=" + h.path("app") }
	b.build(dir, "--export-cache", cache(h))
	h.remount() // nothing that was seen a moment ago is believed
	for d := range p.blobs() {
		p.remove(d)
	}
	b.build(dir, "--export-cache", cache(h))
	if names := p.wantWhole(); len(names) != 1 {
		t.Errorf("names: %v", names)
	}
	for d := range p.blobs() {
		p.remove(d)
	}
	b.build(dir, "--export-cache", cache(newHost(t, config)))
	p.wantWhole()
	newBuilder(t).build(dir, "--import-cache", "type=local,src="+newHost(t, config).path("app")).wantAllCached(t)
}

// TestBrokenCacheFailsNoBuild: whichever blob the bucket has lost, a build that imports the cache succeeds
// with what is left of it, and status says that it is broken until an export mends it.
func TestBrokenCacheFailsNoBuild(t *testing.T) {
	config := anyServer(t).config(t)
	p := newPlainS3(t, config)
	b, dir := newBuilder(t), newContext(t)
	export := func() {
		h := newHost(t, config)
		b.build(dir, "--export-cache", "type=local,mode=max,dest="+h.path("app"))
		if broken := h.status().Broken; len(broken) > 0 {
			t.Errorf("after an export: %v", broken)
		}
		h.umount()
	}
	export()
	n := p.names()["app"]
	all := slices.Sorted(maps.Keys(p.closure(n)))
	steps := 0
	for _, gone := range all {
		p.remove(gone)
		h := newHost(t, config)
		r, err := newBuilder(t).try(dir, "--import-cache", "type=local,src="+h.path("app"))
		if err != nil {
			t.Errorf("without %s of %v: %v\n%s", gone, all, err, r.failures())
		}
		t.Logf("without %s: %d steps were run", gone, r.ran())
		steps = max(steps, r.ran())
		why, broken := h.status().Broken["app"]
		if isLayer := bytes.Contains(n.config, []byte(gone)); isLayer != broken || isLayer && !strings.Contains(why, string(gone)) {
			t.Errorf("without %s status says %q", gone, why)
		}
		h.umount()
		export()
	}
	p.wantWhole()
	if steps == 0 {
		t.Error("no step depended on any blob")
	}
	newBuilder(t).build(dir, "--import-cache", "type=local,src="+newHost(t, config).path("app")).wantAllCached(t)
}
