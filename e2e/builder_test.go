package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// builder is a BuildKit with runc.
type builder struct {
	t    testing.TB
	addr string
}

// newBuilder starts a BuildKit with nothing in its cache.
func newBuilder(t testing.TB) *builder {
	t.Helper()
	tool(t, "runc")
	dir, err := os.MkdirTemp("", "layoutfs-buildkitd-")
	must(t, err)
	b := &builder{t: t, addr: "unix://" + filepath.Join(dir, "sock")}
	p, err := startProcess(dir, nil, tool(t, "buildkitd"), "--root", filepath.Join(dir, "root"), "--addr", b.addr,
		"--oci-worker=true", "--containerd-worker=false", "--config", "/dev/null")
	must(t, err)
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("log of buildkitd:\n%s", p.log())
		}
		must(t, os.RemoveAll(dir))
	})
	must(t, p.awaitUp(func() bool {
		_, err := try(t, nil, tool(t, "buildctl"), "--addr", b.addr, "debug", "workers")
		return err == nil
	}))
	return b
}

// step is one step of a build, as BuildKit tells of it.
type step struct {
	Digest  digest.Digest `json:"digest"`
	Name    string        `json:"name"`
	Cached  bool          `json:"cached"`
	Started *time.Time    `json:"started"` // nil: nobody asked for it, or another build of the same bake did it
	Error   string        `json:"error"`
}

// build is the outcome of a build.
type build struct {
	steps []step
	log   string
}

// try builds a context; args are further arguments of buildctl.
func (b *builder) try(dir string, args ...string) (build, error) {
	b.t.Helper()
	args = append([]string{
		"--addr", b.addr, "build", "--frontend", "dockerfile.v0", "--progress", "rawjson",
		"--local", "context=" + dir, "--local", "dockerfile=" + dir,
	}, args...)
	out, err := try(b.t, nil, tool(b.t, "buildctl"), args...)
	return build{steps: stepsOf(out), log: out}, err
}

// build builds a context, which must succeed.
func (b *builder) build(dir string, args ...string) build {
	b.t.Helper()
	r, err := b.try(dir, args...)
	if err != nil {
		b.t.Fatalf("build: %v\n%s", err, r.failures())
	}
	return r
}

// forget drops everything that the builder keeps.
func (b *builder) forget() {
	b.t.Helper()
	run(b.t, tool(b.t, "buildctl"), "--addr", b.addr, "prune", "--all")
}

// stepsOf reads the progress of a build, one JSON document a line among others: what was said of each step,
// in the order in which they came up.
func stepsOf(out string) []step {
	var steps []step
	at := map[digest.Digest]int{}
	for line := range strings.Lines(out) {
		var s struct {
			Vertexes []step `json:"vertexes"`
		}
		if json.Unmarshal([]byte(line), &s) != nil {
			continue
		}
		for _, v := range s.Vertexes {
			i, ok := at[v.Digest]
			if !ok {
				i = len(steps)
				at[v.Digest] = i
				steps = append(steps, v)
			}
			steps[i].Cached = steps[i].Cached || v.Cached
			steps[i].Error += v.Error
			if v.Started != nil {
				steps[i].Started = v.Started
			}
		}
	}
	return steps
}

// failures is what a person looks for in the log of a build that failed.
func (r build) failures() string {
	var b strings.Builder
	for _, s := range r.steps {
		if s.Error != "" {
			fmt.Fprintf(&b, "%s: %s\n", s.Name, s.Error)
		}
	}
	for _, mark := range []string{"\nerror: ", "\nERROR: "} { // buildctl's, buildx's
		if i := strings.LastIndex(r.log, mark); i >= 0 {
			b.WriteString(r.log[i:])
		}
	}
	if b.Len() == 0 {
		return r.log
	}
	return b.String()
}

// dockerfileStep is how BuildKit calls what stands for a line of the Dockerfile: "[stage 1/3] COPY …".
var dockerfileStep = regexp.MustCompile(`^\[[^]]*\d+/\d+\] `)

// isStep says whether a vertex is a line of the Dockerfile.
func (s step) isStep() bool { return dockerfileStep.MatchString(s.Name) }

// ran says whether a step was done, rather than taken from the cache.
func (s step) ran() bool { return s.Started != nil && !s.Cached }

// wantAllCached fails unless every line of the Dockerfile came from the cache.
func (r build) wantAllCached(t testing.TB) {
	t.Helper()
	cached := 0
	for _, s := range r.steps {
		if s.isStep() && s.ran() {
			t.Errorf("%s is not CACHED", s.Name)
		}
		if s.isStep() && s.Cached {
			cached++
		}
	}
	if cached == 0 {
		t.Error("no step of the build is CACHED")
	}
}

// ran counts the lines of the Dockerfile that did not come from the cache.
func (r build) ran() int {
	n := 0
	for _, s := range r.steps {
		if s.isStep() && s.ran() {
			n++
		}
	}
	return n
}
