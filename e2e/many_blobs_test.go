package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/inspect/prune"
)

// What a daemon with the race detector in it may hold on a bucket of many blobs.
const (
	manyMemory = 2 << 30 // bytes
	manyHeap   = 512 << 20
)

// TestManyBlobs mounts a bucket with a million blobs and 10,000 names (in its short form less) on a machine that
// knows nothing of it. Clients list all blobs, look at caches of those names, look for blobs, import
// and export, and people look at all of it; what they see is right, and what the daemon holds is bounded.
func TestManyBlobs(t *testing.T) {
	blobs, names := 20_000, 200
	if os.Getenv(long) != "" {
		blobs, names = 1_000_000, 10_000
	}
	quietContainerd(t)
	m := newManyBlobs(t, blobs, names)
	c := &manyClients{t: t, m: m, blobs: blobs, names: names}
	c.putReal()
	began := time.Now()
	c.h = newHost(t, m.config, "--cache-size", "32MiB")
	c.look(rand.New(rand.NewPCG(1, 1)))
	t.Logf("%d blobs and %d names: the first cache is looked at %s after the mount began", m.count(), names, time.Since(began).Round(time.Millisecond))

	ctx, cancel := context.WithCancel(t.Context())
	most := make(chan footprint, 1)
	go func() { most <- watchLoad(ctx, t, c.h) }()
	c.exercise(timeOf(t, 2*time.Second, 8))
	c.inspect()
	cancel()
	held := <-most
	t.Logf("%s; at most %s", c.done(), held)
	if held.memory > manyMemory || held.descriptors > loadDescriptors || held.goroutines > loadGoroutines || held.heap > manyHeap {
		t.Errorf("more than is allowed: %s", held)
	}
}

// manyClients use a bucket of many blobs.
type manyClients struct {
	t            testing.TB
	m            *manyBlobs
	h            *host
	blobs, names int
	real         []synthetic

	looks, imports, exports, lookups, listings atomic.Int64
	longest                                    atomic.Int64 // of all but listings
}

func (c *manyClients) done() string {
	return fmt.Sprintf("%d caches looked at, %d imports, %d exports, %d lookups, %d listings of all blobs; the longest took %s",
		c.looks.Load(), c.imports.Load(), c.exports.Load(), c.lookups.Load(), c.listings.Load(),
		time.Duration(c.longest.Load()).Round(time.Millisecond))
}

// putReal puts caches beside the many that have bytes.
func (c *manyClients) putReal() {
	c.t.Helper()
	p, r := newPlainS3(c.t, c.m.config), rand.New(rand.NewPCG(2, 2))
	for i := range 10 {
		s := newSynthetic(c.t, randomBytes(r, 1<<20), randomBytes(r, 1000))
		for _, b := range s.layers {
			p.put(b)
		}
		p.do(http.MethodPut, c.m.config.ManifestsPrefix+realName(i), nil, cacheConfigOf(c.t, s)...)
		c.real = append(c.real, s)
	}
}

func realName(i int) string { return fmt.Sprint("real-", i) }

// look reads of one of the many names what an import reads before layers, and looks for some of these.
func (c *manyClients) look(r *rand.Rand) {
	name := r.IntN(c.names)
	dir := c.h.path(manyName(name))
	m, err := manifestIn(dir, "latest")
	switch {
	case err != nil:
		c.t.Errorf("%s: %v", manyName(name), err)
	case len(m.Layers) != layersOfMany:
		c.t.Errorf("%s has %d layers", manyName(name), len(m.Layers))
	default:
		for range 5 {
			d := m.Layers[r.IntN(layersOfMany)].Digest
			if _, err := os.Stat(filepath.Join(dir, "blobs", "sha256", d.Encoded())); err != nil {
				c.t.Error(err)
			}
		}
	}
	c.looks.Add(1)
}

// manifestIn is the manifest that a tag of a layout has. It is not empty.
func manifestIn(dir, tag string) (cacheconfig.Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return cacheconfig.Manifest{}, err
	}
	var idx ocispec.Index
	if err := json.Unmarshal(b, &idx); err != nil {
		return cacheconfig.Manifest{}, err
	}
	for _, d := range idx.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] == tag {
			b, err := readBlob(dir, d.Digest)
			if err != nil {
				return cacheconfig.Manifest{}, err
			}
			return cacheconfig.ParseManifest(b)
		}
	}
	return cacheconfig.Manifest{}, errNoTag
}

// lookup asks for a blob that is there, and for one that is not.
func (c *manyClients) lookup(r *rand.Rand) {
	here, gone := manyDigest(r.IntN(c.blobs)), manyDigest(c.blobs+r.IntN(1<<30))
	if _, err := os.Stat(c.h.path("blobs", "sha256", here.Encoded())); err != nil {
		c.t.Error(err)
	}
	if _, err := os.Stat(c.h.path("blobs", "sha256", gone.Encoded())); !errors.Is(err, fs.ErrNotExist) {
		c.t.Errorf("a blob that is not there: %v", err)
	}
	c.lookups.Add(2)
}

// imports one of the caches that have bytes.
func (c *manyClients) importReal(r *rand.Rand) {
	if _, err := importFrom(c.h.path(realName(r.IntN(len(c.real)))), "latest"); err != nil {
		c.t.Errorf("import: %v", err)
	}
	c.imports.Add(1)
}

// export writes a cache under a name that was not there.
func (c *manyClients) export(r *rand.Rand) {
	s := newSynthetic(c.t, randomBytes(r, 1+r.IntN(1<<20)), randomBytes(r, 1000))
	name := fmt.Sprintf("new-%x", r.Uint64())
	if err := s.exportTo(c.t.Context(), c.h.path(name), "latest"); err != nil {
		c.t.Errorf("export: %v", err)
	}
	c.exports.Add(1)
}

// list goes through all blobs of the root layout, as a store that collects garbage does.
func (c *manyClients) list() {
	least := c.m.count()
	dir, err := os.Open(c.h.path("blobs", "sha256"))
	if err != nil {
		c.t.Error(err)
		return
	}
	defer dir.Close()
	n := 0
	for {
		names, err := dir.Readdirnames(4096)
		n += len(names)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.t.Errorf("list all blobs: %v", err)
			return
		}
	}
	if n < least {
		c.t.Errorf("%d blobs are listed of %d", n, least)
	}
	c.listings.Add(1)
}

// exercise has clients do all of it for a time, and each of it at least once.
func (c *manyClients) exercise(d time.Duration) {
	ctx, cancel := context.WithTimeout(c.t.Context(), d)
	defer cancel()
	var clients sync.WaitGroup
	client := func(i int, f func(r *rand.Rand)) {
		clients.Go(func() {
			for r := rand.New(rand.NewPCG(3, uint64(i))); ; {
				began := time.Now()
				f(r)
				for took := int64(time.Since(began)); ; {
					if longest := c.longest.Load(); took <= longest || c.longest.CompareAndSwap(longest, took) {
						break
					}
				}
				if ctx.Err() != nil {
					return
				}
			}
		})
	}
	for i, f := range []func(*rand.Rand){c.look, c.look, c.lookup, c.lookup, c.importReal, c.importReal, c.export, c.export} {
		client(i, f)
	}
	clients.Go(func() {
		for c.list(); ctx.Err() == nil; c.list() {
		}
	})
	clients.Wait()
}

// inspect has people look at all of it.
func (c *manyClients) inspect() {
	c.t.Helper()
	all := c.names + len(c.real) + int(c.exports.Load())
	c.timed("to see all names in the root", func() { c.awaitRoot(all) })
	c.timed("layoutfs ls", func() {
		if n := len(manyNames.FindAllString(c.h.do("ls", "--layout", c.h.mnt, "--quiet"), -1)); n != all {
			c.t.Errorf("ls shows %d names of %d", n, all)
		}
	})
	var total prune.Report
	prune := exec.Command(layoutfs, "prune", "--dry-run", "--quiet", "--format", "json", "--s3", csv(c.m.config))
	c.timed("layoutfs prune --dry-run", func() {
		out, err := prune.Output()
		must(c.t, errors.Join(err, json.Unmarshal(out, &total)))
	})
	if n := c.blobs - c.names*layersOfMany; total.Blobs != n {
		c.t.Errorf("prune would delete %d blobs; %d are reached by no name", total.Blobs, n)
	}
	if took := prune.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10; took > manyMemory {
		c.t.Errorf("prune took %d MiB of memory", took>>20)
	} else {
		c.t.Logf("prune took %d MiB of memory", took>>20)
	}
}

var manyNames = regexp.MustCompile(`(?m)^(name|real|new)-\S+$`)

func (c *manyClients) timed(what string, f func()) {
	c.t.Helper()
	began := time.Now()
	f()
	c.t.Logf("%s: %s", what, time.Since(began).Round(time.Millisecond))
}

// awaitRoot opens the index.json of the root until it shows all names: an open waits for ten seconds for the names
// to be read that are not known yet, and shows those that are.
func (c *manyClients) awaitRoot(all int) {
	c.t.Helper()
	within(c.t, 20*time.Minute, "the root shows all names", func() bool {
		var idx ocispec.Index
		b, err := os.ReadFile(c.h.path("index.json"))
		must(c.t, errors.Join(err, json.Unmarshal(b, &idx)))
		return len(idx.Manifests) == all
	})
}
