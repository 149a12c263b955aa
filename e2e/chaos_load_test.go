package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a daemon with the race detector in it may hold under load.
const (
	loadMemory      = 1 << 30 // bytes
	loadDescriptors = 2000
	loadGoroutines  = 2000
)

// TestChaosLoad has 16 clients export and 64 import at the same time on one host, more than fits its cache.
// All succeed, and what the daemon holds meanwhile is bounded.
func TestChaosLoad(t *testing.T) {
	const exporters, readers = 16, 64
	quietContainerd(t)
	config := anyServer(t).config(t)
	p := newPlainS3(t, config)
	h := newHost(t, config, "--cache-size", "32MiB", "--refresh", "100ms")
	export := func(r *rand.Rand, i int) error {
		c := newSynthetic(t, randomBytes(r, 1+r.IntN(2<<20)), randomBytes(r, 1000))
		return c.exportTo(t.Context(), h.path(fmt.Sprint("app-", i)), "latest")
	}
	for i := range exporters {
		must(t, export(rand.New(rand.NewPCG(1, uint64(i))), i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeOf(t, 2*time.Second, 8))
	defer cancel()
	var clients sync.WaitGroup
	var exports, imports atomic.Int64
	client := func(i int, count *atomic.Int64, f func(r *rand.Rand) error) {
		clients.Go(func() {
			for r := rand.New(rand.NewPCG(2, uint64(i))); ctx.Err() == nil; count.Add(1) {
				if err := f(r); err != nil {
					t.Error(err)
					cancel()
				}
			}
		})
	}
	for i := range exporters {
		client(i, &exports, func(r *rand.Rand) error { return export(r, i) })
	}
	for i := range readers {
		client(exporters+i, &imports, func(r *rand.Rand) error {
			_, err := importFrom(h.path(fmt.Sprint("app-", r.IntN(exporters))), "latest")
			return err
		})
	}
	most := watchLoad(ctx, t, h)
	clients.Wait()
	p.wantWhole()
	t.Logf("%d exports, %d imports; at most %s", exports.Load(), imports.Load(), most)
	if most.memory > loadMemory || most.descriptors > loadDescriptors || most.goroutines > loadGoroutines {
		t.Errorf("more than is allowed: %s", most)
	}
}

// watchLoad says what a daemon held at most until the end of ctx.
func watchLoad(ctx context.Context, t *testing.T, h *host) (most footprint) {
	t.Helper()
	for ctx.Err() == nil {
		f := footprintOf(t, h)
		most.goroutines = max(most.goroutines, f.goroutines)
		most.descriptors = max(most.descriptors, f.descriptors)
		most.heap = max(most.heap, f.heap)
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
	most.memory = peakMemory(t, h.pid)
	return most
}
