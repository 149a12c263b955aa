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

// long is set for the form of some tests that takes long.
const long = "LAYOUTFS_E2E_LONG"

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
	m, b, other := newMortal(t), newBuilder(t), newBuilder(t)
	for _, middle := range []bool{false, true} {
		m.testExport(t, b, other, middle, m.kill, m.start)
	}
}

func TestExportToABucketThatHangs(t *testing.T) {
	t.Parallel() // it is little but waiting
	m := newMortal(t)
	m.testExport(t, newBuilder(t), newBuilder(t), true, m.hang, func() { m.kill(); m.start() })
}

func (m *mortal) testExport(t *testing.T, b, other *builder, middle bool, gone, back func()) {
	config := m.config(t)
	h := newHostFor(t, csv(config, "upload_limit=2MiB"), "--patience", "3s")
	dir := newLargeContext(t)
	b.build(dir) // only the export is left to do
	cache := "type=local,mode=max,dest=" + h.path("app")
	if middle {
		go func() {
			eventually(t, "the export is under way", func() bool { return h.status().Counters.UploadedBytes > 1<<20 })
			gone()
		}()
	} else {
		gone()
	}
	bounded(t, func() {
		if r, err := b.try(dir, "--export-cache", cache); err == nil || !strings.Contains(r.log, "input/output error") {
			t.Errorf("the export: %v\n%s", err, r.failures())
		}
	})
	h.wantReason("bucket does not answer")
	bounded(t, func() { b.build(dir, "--export-cache", cache+",ignore-error=true") })

	back()
	eventually(t, "the bucket is known to answer", func() bool { return h.status().BucketUp })
	b.build(dir, "--export-cache", cache)
	newPlainS3(t, config).wantWhole()
	other.forget()
	other.build(dir, "--import-cache", "type=local,src="+newHost(t, config).path("app")).wantAllCached(t)
}

// wantReason fails if status and log do not say why nothing works.
func (h *host) wantReason(reason string) {
	h.t.Helper()
	s := h.status()
	if s.BucketUp || s.LastError == nil || !strings.Contains(s.LastError.Text, reason) || !strings.Contains(h.log(), reason) {
		h.t.Errorf("status: up %v, last error %+v", s.BucketUp, s.LastError)
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
	b, other, dir := newBuilder(t), newBuilder(t), newLargeContext(t)
	b.build(dir, "--export-cache", "type=local,mode=max,dest="+warm.path("app"))
	if len(read(t, cold.path("app", "index.json"))) == 0 { // what is known there
		t.Fatal("an empty index.json")
	}
	m.kill()
	for _, h := range []*host{warm, cold} {
		bounded(t, func() {
			other.forget()
			r := other.build(dir, "--import-cache", "type=local,src="+h.path("app"))
			if h == warm {
				r.wantAllCached(t)
			}
		})
	}
	offline := newHostFor(t, csv(config), "--offline")
	other.forget()
	other.build(dir, "--import-cache", "type=local,src="+offline.path("app"))
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// TestImportThatLosesTheBucket ends within a bounded time; if the server is back soon, with everything.
func TestImportThatLosesTheBucket(t *testing.T) {
	m, b, dir := newMortal(t), newBuilder(t), newLargeContext(t)
	config := m.config(t)
	b.build(dir, "--export-cache", "type=local,mode=max,dest="+newHost(t, config).path("app"))
	for patience, returns := range map[string]bool{"60s": true, "3s": false} {
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
		if !returns {
			m.start()
		}
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
// with what is left of it, and status says that it is broken, until an export mends it.
func TestBrokenCacheFailsNoBuild(t *testing.T) {
	config := anyServer(t).config(t)
	p := newPlainS3(t, config)
	b, other, dir := newBuilder(t), newBuilder(t), newContext(t)
	b.build(dir, "--export-cache", "type=local,mode=max,dest="+newHost(t, config).path("app"))
	n := p.names()["app"]
	steps := 0
	for i, gone := range slices.Sorted(maps.Keys(p.closure(n))) {
		if i%3 > 0 && gone != n.manifest.Digest && os.Getenv(long) == "" {
			continue
		}
		kept := p.blob(gone)
		p.remove(gone)
		h := newHost(t, config)
		other.forget()
		r, err := other.try(dir, "--import-cache", "type=local,src="+h.path("app"))
		if err != nil {
			t.Fatalf("without %s: %v\n%s", gone, err, r.failures())
		}
		steps = max(steps, r.ran())
		t.Logf("without %s: %d steps were run", gone, r.ran())
		why, broken := h.status().Broken["app"]
		if isLayer := bytes.Contains(n.config, []byte(gone)); isLayer != broken || isLayer && !strings.Contains(why, string(gone)) {
			t.Errorf("without %s status says %q", gone, why)
		}
		h.umount()
		p.put(kept)
	}
	if steps == 0 {
		t.Error("no step depended on any blob")
	}
	for d := range p.blobs() {
		p.remove(d)
	}
	h := newHost(t, config)
	read(t, h.path("app", "index.json"))
	if h.status().Broken["app"] == "" {
		t.Error("a cache without any of its blobs is not broken")
	}
	b.build(dir, "--export-cache", "type=local,mode=max,dest="+h.path("app"))
	p.wantWhole()
	if broken := h.status().Broken; len(broken) > 0 {
		t.Errorf("after an export: %v", broken)
	}
	other.forget()
	other.build(dir, "--import-cache", "type=local,src="+newHost(t, config).path("app")).wantAllCached(t)
}
