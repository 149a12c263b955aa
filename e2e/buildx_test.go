package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newRemote is docker buildx with a BuildKit elsewhere as its builder (driver remote).
func newRemote(t testing.TB, b *builder) *docker {
	t.Helper()
	d := &docker{t: t, env: []string{"BUILDX_CONFIG=" + t.TempDir(), "BUILDX_BUILDER=remote"}}
	out, err := try(t, d.env, tool(t, "buildx"), "create", "--name", "remote", "--driver", "remote", b.addr)
	if err != nil {
		t.Fatalf("buildx create: %v\n%s", err, out)
	}
	return d
}

// exported are ways to export a cache, and how it is imported then.
var exported = []struct{ name, to, from string }{
	{"directory", "dest=MNT/app,mode=max", "src=MNT/app"},
	{"tag of that directory", "dest=MNT/app,tag=v1,mode=max,image-manifest=false", "src=MNT/app,tag=v1"},
	{"directory of a tag", "dest=MNT/app,tag=v2,mode=max", "src=MNT/app/v2"},
	{"tag of the root", "dest=MNT,tag=rooted,mode=max,oci-mediatypes=false,image-manifest=false", "src=MNT,tag=rooted"},
	{"latest of the root", "dest=MNT,mode=max", "src=MNT"},
	{"nested directories", "dest=MNT/team/project/branch,mode=max", "src=MNT/team/project/branch"},
	{"zstd", "dest=MNT/zstd,mode=max,compression=zstd,compression-level=1,force-compression=true", "src=MNT/zstd"},
	{"estargz", "dest=MNT/estargz,mode=max,compression=estargz,force-compression=true", "src=MNT/estargz"},
	{"reset", "dest=MNT/reset,mode=max,reset=true", "src=MNT/reset"},
	{"mode=min", "dest=MNT/min,mode=min", "src=MNT/min"},
}

// TestBuildx exports a build in many ways, and imports each on another host, where everything is CACHED that
// would be from a plain folder.
func TestBuildx(t *testing.T) {
	c, dir, plain := anyServer(t).config(t), newContext(t), t.TempDir()
	d, h := newRemote(t, newBuilder(t)), newHost(t, c)
	out := filepath.Join(t.TempDir(), "out")
	d.do("build", dir, "--output", "type=local,dest="+out, "--cache-to", "type=local,mode=min,dest="+plain)
	want := tree(t, out)
	for _, e := range exported { // one by one: BuildKit gives all exports of a build the manifest of one
		d.do("build", dir, "--cache-to", "type=local,"+strings.ReplaceAll(e.to, "MNT", h.mnt))
	}

	other := newHost(t, c)
	for _, e := range exported {
		t.Run(e.name, func(t *testing.T) {
			d.t = t
			r := importWith(t, d, dir, strings.ReplaceAll(e.from, "MNT", other.mnt), want)
			if e.name != "mode=min" {
				r.wantAllCached(t)
				return
			}
			if ran := importWith(t, d, dir, "src="+plain, want).ran(); r.ran() != ran {
				t.Errorf("%d steps ran, from a plain folder %d", r.ran(), ran)
			}
		})
	}
}

func importWith(t *testing.T, d *docker, dir, from string, want map[string]entry) build {
	t.Helper()
	d.forget()
	out := filepath.Join(t.TempDir(), "out")
	r := d.do("build", dir, "--output", "type=local,dest="+out, "--cache-from", "type=local,"+from)
	if diff := cmp.Diff(want, tree(t, out)); diff != "" {
		t.Errorf("other files (-want +got):\n%s", diff)
	}
	return r
}

const bakeMany = `
variable "MNT" {}
variable "ROUND" {}
target "default" {
  name       = "t${n}"
  matrix     = { n = [1, 2, 3, 4] }
  dockerfile = "Dockerfile"
  args       = { N = n, ROUND = ROUND }
  cache-to   = ["type=local,mode=max,reset=true,dest=${MNT}/bake/t${n}", "type=local,mode=max,tag=t${n},dest=${MNT}/tags${n}"]
  cache-from = ["type=local,src=${MNT}/bake/t${n}"]
}
`

// TestBuildxBake has one bake export four targets that share layers at once, each to a directory that is reset
// after it, twice with a change between. Another host gets all of the second round, and none of the first.
func TestBuildxBake(t *testing.T) {
	c := anyServer(t).config(t)
	dir := contextOf(t, `FROM scratch
COPY busybox /bin/sh
COPY shared /shared
ARG N
ARG ROUND
RUN echo $N $ROUND > /n
RUN echo again $N $ROUND > /again
`, map[string]int{"shared": 1 << 20})
	must(t, os.WriteFile(filepath.Join(dir, "docker-bake.hcl"), []byte(bakeMany), 0o644))
	t.Chdir(dir)
	d, h := newRemote(t, newBuilder(t)), newHost(t, c)
	bake := func(on *host, round string, args ...string) build {
		t.Helper()
		t.Setenv("MNT", on.mnt)
		t.Setenv("ROUND", round)
		return d.do(append([]string{"bake", "--allow=fs=*"}, args...)...)
	}
	bake(h, "first")
	before := readLayout(t, h.path("bake/t1"))
	bake(h, "second")

	other := newHost(t, c)
	for n := range 4 { // one by one: of builds that begin alike at once, BuildKit asks the cache of one
		d.forget()
		bake(other, "second", fmt.Sprintf("t%d", n+1), "--set", "*.cache-to=").wantAllCached(t)
	}
	d.forget()
	if r := bake(other, "first", "t1", "--set", "*.cache-to="); r.ran() != 2 {
		t.Errorf("after the second round %d steps of the first ran, want the 2 that changed", r.ran())
	}
	wantReset(t, h, before)
}

// wantReset proves that what only an earlier export of bake/t1 needs is out of sight, and all else is not.
func wantReset(t *testing.T, h *host, before layout) {
	t.Helper()
	now, gone := readLayout(t, h.path("bake/t1")), 0
	for d := range before.Blobs {
		_, err := os.Stat(h.path("bake/t1/blobs/sha256", d.Encoded()))
		if _, kept := now.Blobs[d]; kept != (err == nil) {
			t.Errorf("%s of the first round: needed is %v, and stat says %v", d, kept, err)
		}
		if err != nil {
			gone++
		}
	}
	if gone == 0 {
		t.Error("the reset removed nothing")
	}
}

// TestBuildxWithoutBucket has the bucket go away: a build fails at its export, and says so, unless it ignores
// errors. When the bucket is back, it exports.
func TestBuildxWithoutBucket(t *testing.T) {
	folder := t.TempDir()
	s, p, err := startEmbedded(t, folder)
	must(t, err)
	t.Cleanup(func() { p.stop() })
	c, dir := s.config(t), newContext(t)
	d, h := newRemote(t, newBuilder(t)), newHost(t, c, "--patience", "1s")
	build := func(attrs string) (build, error) {
		t.Helper()
		return d.try("build", dir, "--cache-to", "type=local,mode=max,dest="+h.path("app")+attrs)
	}

	p.stop()
	if r, err := build(""); err == nil || !strings.Contains(r.failures(), "input/output error") {
		t.Errorf("without a bucket the build ends with %v: %s", err, r.failures())
	}
	if r, err := build(",ignore-error=true"); err != nil {
		t.Errorf("the build does not ignore the error: %v: %s", err, r.failures())
	}

	p, err = startProcess(folder, nil, layoutfs, "s3", "--data", filepath.Join(folder, "data"), "--addr", strings.TrimPrefix(s.endpoint, "http://"))
	must(t, err)
	must(t, p.awaitUp(func() bool { return strings.Contains(p.log(), s.endpoint) }))
	eventually(t, "the bucket is found again", func() bool { return h.status().BucketUp })
	if r, err := build(""); err != nil {
		t.Fatalf("with the bucket back: %v: %s", err, r.failures())
	}
	d.forget()
	d.do("build", dir, "--cache-from", "type=local,src="+newHost(t, c).path("app")).wantAllCached(t)
}
