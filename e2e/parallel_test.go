package e2e

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// variants is a build that shares all but its last layers with others.
const variants = `FROM scratch AS base
COPY busybox /bin/sh
COPY busybox /bin/busybox
COPY shared /shared
RUN busybox sha256sum /shared > /sum
FROM base
ARG VARIANT
RUN echo $VARIANT > /variant
COPY --from=base /sum /variant-sum
`

func newVariants(t testing.TB) string {
	t.Helper()
	return contextOf(t, variants, map[string]int{"shared": 4 << 20})
}

// buildAll builds n variants at once; args gives the arguments of each.
func (b *builder) buildAll(dir string, n int, args func(i int) []string) []error {
	b.t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r, err := b.try(dir, append([]string{"--opt", fmt.Sprintf("build-arg:VARIANT=%d", i)}, args(i)...)...)
			if err != nil {
				errs[i] = fmt.Errorf("variant %d: %w: %s", i, err, r.failures())
			}
		})
	}
	wg.Wait()
	return errs
}

// importAll imports all variants at once, each of which must be CACHED as a whole.
func (b *builder) importAll(dir string, n int, from func(i int) string) {
	b.t.Helper()
	b.forget()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r, err := b.try(dir, "--opt", fmt.Sprintf("build-arg:VARIANT=%d", i), "--import-cache", from(i))
			if err != nil {
				b.t.Errorf("import of variant %d: %v: %s", i, err, r.failures())
				return
			}
			r.wantAllCached(b.t)
		})
	}
	wg.Wait()
}

func none(int) []string { return nil }

// TestBuildsAtOnce: builds that share layers export at the same time, each to a directory of its own of one
// mount. All succeed, no layer goes up twice, and another machine finds each of them.
func TestBuildsAtOnce(t *testing.T) {
	b, other := newBuilder(t), newBuilder(t)
	for _, n := range []int{8, 16} {
		config := anyServer(t).config(t)
		h, dir := newHost(t, config), newVariants(t)
		b.buildAll(dir, n, none) // so that the exports meet
		to := func(h *host, i int) string { return h.path("team", fmt.Sprint("app-", i)) }
		for _, err := range b.buildAll(dir, n, func(i int) []string {
			return []string{"--export-cache", "type=local,mode=max,dest=" + to(h, i)}
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		p := newPlainS3(t, config)
		if names := p.wantWhole(); len(names) != n {
			t.Errorf("%d names are published, not %d", len(names), n)
		}
		p.wantRight(map[digest.Digest]bool{})
		if up, blobs := h.status().Counters.UploadedBlobs, len(p.blobs()); int(up) != blobs {
			t.Errorf("%d uploads for %d blobs", up, blobs)
		}
		away := newHost(t, config)
		other.importAll(dir, n, func(i int) string { return "type=local,src=" + to(away, i) })
	}
}

// TestBuildsAtOnceIntoOneDirectory: containerd's ingest folder is not made for that, and some builds fail on a
// plain folder. On the mount no more do, and what a build that succeeded has put is there as a whole.
func TestBuildsAtOnceIntoOneDirectory(t *testing.T) {
	const n, rounds = 8, 2
	b, other := newBuilder(t), newBuilder(t)
	failures := map[string]int{}
	export := func(dir, dest string) (succeeded []int) {
		for i, err := range b.buildAll(dir, n, func(i int) []string {
			return []string{"--export-cache", fmt.Sprintf("type=local,mode=max,tag=v%d,dest=%s", i, dest)}
		}) {
			if err == nil {
				succeeded = append(succeeded, i)
			} else {
				t.Logf("to %s: %v", dest, err)
			}
		}
		return succeeded
	}
	for range rounds {
		config := anyServer(t).config(t)
		h, dir := newHost(t, config), newVariants(t)
		b.buildAll(dir, n, none)
		plain := filepath.Join(t.TempDir(), "cache")
		failures["plain folder"] += n - len(export(dir, plain))
		succeeded := export(dir, h.path("one"))
		failures["mount"] += n - len(succeeded)

		p := newPlainS3(t, config)
		p.wantWhole()
		p.wantRight(map[digest.Digest]bool{})
		away := newHost(t, config)
		for _, i := range succeeded {
			if _, err := importFrom(away.path("one"), fmt.Sprint("v", i)); err != nil {
				t.Errorf("variant %d, whose export succeeded: %v", i, err)
			}
		}
		if len(succeeded) > 0 {
			i := succeeded[0]
			other.forget()
			other.build(dir, "--opt", fmt.Sprintf("build-arg:VARIANT=%d", i),
				"--import-cache", fmt.Sprintf("type=local,tag=v%d,src=%s", i, away.path("one"))).wantAllCached(t)
		}
	}
	t.Logf("of %d builds each, failed: %v", n*rounds, failures)
	if failures["mount"] > failures["plain folder"]+n/2 { // who meets whom is chance
		t.Errorf("more builds fail on the mount than on a plain folder: %v", failures)
	}
}
