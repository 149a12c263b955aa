package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// footprint is what a daemon holds: memory is all that it takes of the machine, heap what of it is alive.
type footprint struct{ goroutines, descriptors, memory, heap int64 }

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d MiB, %d MiB of them alive", f.goroutines, f.descriptors, f.memory>>20, f.heap>>20)
}

func footprintOf(t testing.TB, h *host) footprint {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.pid))
	must(t, err)
	s := h.status()
	return footprint{int64(s.Goroutines), int64(len(fds)), procStatus(t, h.pid, "VmRSS") << 10, s.Heap}
}

// descriptorsOf counts what a daemon has open, by kind: the numbers in their names are left out.
func descriptorsOf(h *host) map[string]int {
	kinds := map[string]int{}
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", h.pid))
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil {
			kinds[digits.ReplaceAllString(to, "N")]++
		}
	}
	return kinds
}

var digits = regexp.MustCompile(`[0-9a-f]{4,}|[0-9]+`)

// TestChaosBucket has clients export and import through a network on which one request in eight meets a fault:
// errors, resets, stalls, replies that are lost after the write, bodies that are cut, changed or longer, stale
// listings, credentials that are refused, clocks that differ. No import sees wrong bytes, nothing takes longer
// than a bounded time, no name lacks a blob; afterwards everything works again, and nothing leaked.
func TestChaosBucket(t *testing.T) {
	seed := seedOf(t)
	quietContainerd(t)
	c := anyServer(t).config(t)
	p := newPlainS3(t, c)
	proxy := newTroubled(t, c, seed)
	through := c
	through.EndpointURL = proxy.url
	h := newHost(t, through, "--patience", "3s", "--refresh", "100ms", "--cache-size", "3MiB")

	exercise(t, h, seed, 2*time.Second) // so that there are connections
	if os.Getenv(long) != "" {
		time.Sleep(11 * time.Second) // a download outlives its last reader by ten, and is counted in the short form
	}
	before := footprintOf(t, h)
	proxy.on.Store(true)
	done, failed := exercise(t, h, seed+1, timeOf(t, 6*time.Second, 8))
	p.wantWhole()
	proxy.on.Store(false)

	eventually(t, "an export succeeds again", func() bool {
		return newSynthetic(t, []byte("after")).exportTo(t.Context(), h.path("after"), "latest") == nil
	})
	h.do("flush", h.mnt)
	p.wantWhole()
	p.wantRight(map[digest.Digest]bool{})
	eventually(t, "no parts of an upload are left", func() bool { return p.parts() == 0 })
	if _, err := importFrom(newHost(t, c).path("after"), "latest"); err != nil {
		t.Error(err)
	}
	var after footprint
	defer func() {
		t.Logf("%d operations, %d of them failed; faults: %v; before: %s; after: %s", done, failed, proxy.done, before, after)
		if t.Failed() {
			t.Logf("its descriptors: %v", descriptorsOf(h))
		}
	}()
	within(t, 90*time.Second, "nothing has leaked", func() bool { // an idle connection is kept for a minute
		after = footprintOf(t, h)
		return !after.grownFrom(before)
	})
	if done == 0 || len(proxy.done) < 6 {
		t.Errorf("%d operations, faults %v: the test tests nothing", done, proxy.done)
	}
}

// remembers bounds what a daemon comes to remember, in bytes: 100,000 answers of the bucket, 10,000 nodes that the
// kernel knows, layouts, and what Badger has not flushed yet.
const remembers = 64 << 20

// grownFrom says whether a daemon holds more than it did, by more than what comes and goes. The memory that it takes
// of the machine is several times what is alive of it, with the race detector, so that has a bound of its own.
func (f footprint) grownFrom(before footprint) bool {
	return f.goroutines > before.goroutines+20 || f.descriptors > before.descriptors+20 ||
		f.heap > before.heap+remembers || f.memory > loadMemory
}

// exercise has clients export and import for a time, and counts what they did.
func exercise(t *testing.T, h *host, seed uint64, d time.Duration) (done, failed int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var clients sync.WaitGroup
	var mu sync.Mutex // guards done and failed
	for i := range 4 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() {
			for ctx.Err() == nil {
				err := oneOperation(t, h, r, fmt.Sprint("app-", i))
				mu.Lock()
				if done++; err != nil {
					failed++
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	return done, failed
}

func oneOperation(t *testing.T, h *host, r *rand.Rand, name string) error {
	began := time.Now()
	var err error
	if r.IntN(2) == 0 {
		err = newSynthetic(t, randomBytes(r, 1+r.IntN(2<<20)), []byte("shared")).exportTo(t.Context(), h.path(name), "latest")
	} else if _, err = importFrom(h.path(name), "latest"); errors.Is(err, errWrongBytes) {
		t.Error(err)
	}
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("an operation took %s and ended with: %v", took, err)
	}
	return err
}
