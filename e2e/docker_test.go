package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// docker is a Docker Engine with the containerd image store and its default driver.
type docker struct {
	t   testing.TB
	env []string
}

// newDocker starts an engine with nothing in it. It gets no network: no build of ours needs one, and it
// must not touch that of the machine.
func newDocker(t testing.TB) *docker {
	t.Helper()
	tool(t, "runc")
	dir, err := os.MkdirTemp("", "layoutfs-dockerd-")
	must(t, err)
	path := "PATH=" + tools + ":" + os.Getenv("PATH") // for containerd and its shim
	d := &docker{t: t, env: []string{path, "DOCKER_HOST=unix://" + filepath.Join(dir, "sock"), "BUILDX_CONFIG=" + filepath.Join(dir, "buildx")}}
	p, err := startProcess(dir, d.env, tool(t, "dockerd"), "--host", "unix://"+filepath.Join(dir, "sock"),
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
		"--config-file", "/dev/null", "--bridge=none", "--iptables=false", "--ip6tables=false", "--userland-proxy=false")
	must(t, err)
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("log of dockerd:\n%s", p.log())
		}
		must(t, os.RemoveAll(dir))
	})
	must(t, p.awaitUp(func() bool {
		_, err := try(t, d.env, tool(t, "buildx"), "inspect", "--bootstrap", "default")
		return err == nil
	}))
	return d
}

// try runs docker buildx.
func (d *docker) try(args ...string) (build, error) {
	d.t.Helper()
	out, err := try(d.t, d.env, tool(d.t, "buildx"), append(args, "--progress", "rawjson")...)
	return build{steps: stepsOf(out), log: out}, err
}

// build builds a context, which must succeed.
func (d *docker) build(dir string, args ...string) build {
	d.t.Helper()
	return d.do(append([]string{"build", dir, "--network", "none"}, args...)...)
}

func (d *docker) do(args ...string) build {
	d.t.Helper()
	r, err := d.try(args...)
	if err != nil {
		d.t.Fatalf("docker buildx %s: %v\n%s", strings.Join(args, " "), err, r.failures())
	}
	return r
}

// forget drops everything that the engine keeps.
func (d *docker) forget() {
	d.t.Helper()
	out, err := try(d.t, d.env, tool(d.t, "buildx"), "prune", "--all", "--force")
	if err != nil {
		d.t.Fatalf("docker buildx prune: %v\n%s", err, out)
	}
}

// TestDockerEngine is what layoutfs is for: the default driver knows no type=s3, and through the mount its
// cache is in the bucket. Another engine imports it, and so does a BuildKit with type=s3.
func TestDockerEngine(t *testing.T) {
	c := anyServer(t).config(t)
	dir := newContext(t)
	a, host := newDocker(t), newHost(t, c)
	if r, err := a.try("build", dir, "--cache-to", "type=s3,"+csv(c)); err == nil || !strings.Contains(r.log, `unknown cache exporter: "s3"`) {
		t.Errorf("the engine takes type=s3 by itself now: %v, %s", err, r.failures())
	}
	out := filepath.Join(t.TempDir(), "out")
	a.build(dir, "--output", "type=local,dest="+out, "--cache-to", "type=local,mode=max,dest="+host.path("app"))
	want := tree(t, out)

	b, other := newDocker(t), newHost(t, c)
	out = filepath.Join(t.TempDir(), "out")
	b.build(dir, "--output", "type=local,dest="+out, "--cache-from", "type=local,src="+other.path("app")).wantAllCached(t)
	if diff := cmp.Diff(want, tree(t, out)); diff != "" {
		t.Errorf("the other engine got other files (-want +got):\n%s", diff)
	}
	b.forget()
	b.build(dir, "--tag", "demo:1", "--cache-from", "type=local,src="+other.path("app")).wantAllCached(t)

	// The network is part of a step's cache key.
	newBuilder(t).build(dir, "--opt", "force-network-mode=none", "--import-cache", "type=s3,name=app,"+csv(c)).wantAllCached(t)
}

const bakefile = `
group "default" { targets = ["left", "right", "all"] }
target "_" {
  dockerfile = "Dockerfile"
  network    = "none"
}
target "left" {
  inherits   = ["_"]
  target     = "left"
  cache-to   = ["type=local,mode=max,dest=${MNT}/left"]
  cache-from = ["type=local,src=${MNT}/left"]
}
target "right" {
  inherits   = ["_"]
  target     = "right"
  cache-to   = ["type=local,mode=max,dest=${MNT}/right"]
  cache-from = ["type=local,src=${MNT}/right"]
}
target "all" {
  inherits   = ["_"]
  cache-to   = ["type=local,mode=max,dest=${MNT}/team/all"]
  cache-from = ["type=local,src=${MNT}/team/all"]
}
variable "MNT" {}
`

// TestDockerBake has one bake export several targets into one mount at once.
func TestDockerBake(t *testing.T) {
	c := anyServer(t).config(t)
	dir := newContext(t)
	file := filepath.Join(dir, "docker-bake.hcl")
	must(t, os.WriteFile(file, []byte(bakefile), 0o644))
	t.Chdir(dir)
	d, host := newDocker(t), newHost(t, c)
	t.Setenv("MNT", host.mnt)
	d.do("bake", "--allow=fs=*")
	d.forget()
	t.Setenv("MNT", newHost(t, c).mnt)
	d.do("bake", "--allow=fs=*", "--set", "*.cache-to=").wantAllCached(t)
}
