package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// chaosTime is how long the long form of a test goes on.
const chaosTime = "LAYOUTFS_CHAOS_TIME"

// timeOf is for how long a test is to go on; in the long form that is a share of all the time.
func timeOf(t testing.TB, short time.Duration, share int) time.Duration {
	t.Helper()
	text := os.Getenv(chaosTime)
	if text == "" {
		return short
	}
	d, err := time.ParseDuration(text)
	must(t, err)
	return d / time.Duration(share)
}

const (
	crowdRefresh = 200 * time.Millisecond
	// late is for how long a request may be under way at the server whose daemon was killed.
	late = 5 * time.Second
)

// publication is an export: what, and when. One that failed may be published all the same.
type publication struct {
	d            digest.Digest
	began, ended time.Time
	acknowledged bool
}

// member is a host of a crowd.
type member struct {
	*host
	gate  sync.RWMutex // held for reading while a client uses the host: none may find it not mounted
	turns atomic.Int64 // how often it was killed and mounted again: odd while it is dead
}

// crowd is many hosts that share a bucket.
type crowd struct {
	t     *testing.T
	c     bucket.Config
	p     *plainS3
	hosts []*member
	pool  [][]byte // layers that caches share

	mu    sync.Mutex // guards following
	made  map[string][]*publication
	count map[string]int
}

// TestChaosHosts has eight hosts export and import names of their own and one that is common, while prune
// runs and hosts are killed. Every import that starts after a publication sees it or a later one; no name
// is lost or broken, and none lacks a blob.
func TestChaosHosts(t *testing.T) {
	seed := seedOf(t)
	quietContainerd(t)
	r := rand.New(rand.NewPCG(seed, 1))
	c := anyServer(t).config(t)
	w := &crowd{t: t, c: c, p: newPlainS3(t, c), made: map[string][]*publication{}, count: map[string]int{}}
	for range 4 {
		w.pool = append(w.pool, randomBytes(r, 1000+r.IntN(100_000)))
	}
	for range 8 {
		w.hosts = append(w.hosts, &member{host: newHostFor(t, csv(c, "touch_refresh=2s"), "--refresh", crowdRefresh.String())})
	}
	w.run(r, timeOf(t, 5*time.Second, 1))
	w.p.wantRight(map[digest.Digest]bool{})
	fresh := &member{host: newHost(t, c)}
	for name := range w.made {
		w.read(fresh, name)
	}
	t.Logf("%v; %d names", w.count, len(w.made))
}

// run has the hosts at work, and kills them, for a time.
func (w *crowd) run(r *rand.Rand, d time.Duration) {
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	var workers sync.WaitGroup
	for i, h := range w.hosts {
		own := rand.New(rand.NewPCG(r.Uint64(), 2))
		workers.Go(func() {
			for ctx.Err() == nil {
				w.step(own, h, fmt.Sprint("host-", i))
			}
		})
	}
	workers.Go(func() {
		for ctx.Err() == nil {
			w.prune()
		}
	})
	for ctx.Err() == nil && !w.t.Failed() {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(r.IntN(4000)) * time.Millisecond):
			w.kill(w.hosts[r.IntN(len(w.hosts))])
		}
	}
	cancel()
	workers.Wait()
	w.p.wantWhole()
}

// kill kills the daemon of a host with clients at work, and starts it again.
func (w *crowd) kill(h *member) {
	h.turns.Add(1)
	h.kill()
	h.gate.Lock()
	defer h.gate.Unlock()
	h.mount()
	h.turns.Add(1)
	w.note("kills")
}

// failed counts an operation that a kill of its host has cut off. No other may fail.
func (w *crowd) failed(what string, h *member, turns int64, err error) {
	if turns%2 == 0 && h.turns.Load() == turns {
		w.t.Errorf("of %s, which was not killed, an %s failed: %v", h.mnt, what, err)
	}
	w.note(what + "s cut off by a kill")
}

func (w *crowd) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count[what]++
}

// step is one export or import of a host.
func (w *crowd) step(r *rand.Rand, h *member, own string) {
	h.gate.RLock()
	defer h.gate.RUnlock()
	names := []string{"common", own, fmt.Sprint("host-", r.IntN(len(w.hosts)))}
	if r.IntN(3) > 0 {
		w.read(h, names[r.IntN(3)])
		return
	}
	w.export(r, h, names[r.IntN(2)])
}

func (w *crowd) export(r *rand.Rand, h *member, name string) {
	layers := [][]byte{randomBytes(r, 1+r.IntN(100_000))}
	for _, b := range w.pool {
		if r.IntN(3) == 0 {
			layers = append(layers, b)
		}
	}
	c := newSynthetic(w.t, layers...)
	pub := &publication{d: c.desc.Digest, began: time.Now()}
	w.mu.Lock()
	w.made[name] = append(w.made[name], pub)
	w.mu.Unlock()
	turns := h.turns.Load()
	err := c.exportTo(w.t.Context(), h.path(name), "latest")
	w.mu.Lock()
	pub.ended, pub.acknowledged = time.Now(), err == nil
	w.mu.Unlock()
	if err != nil {
		w.failed("export", h, turns, err)
		return
	}
	w.note("exports")
}

// read imports a name, and holds what it is against what it may be.
func (w *crowd) read(h *member, name string) {
	turns, began := h.turns.Load(), time.Now()
	d, err := importFrom(h.path(name), "latest")
	ended := time.Now()
	switch {
	case errors.Is(err, errWrongBytes):
		w.t.Error(err)
	case errors.Is(err, errNoTag) || d == "" && errors.Is(err, os.ErrNotExist):
		d = ""
	case err != nil:
		w.failed("import", h, turns, err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count["imports"]++
	if why := w.stale(name, d, began); why != "" {
		_, again := importFrom(h.path(name), "latest")
		w.t.Errorf("an import of %q in %s from %s to %s shows %q (%v; again: %v): %s", name, h.mnt,
			began.Format(time.StampMicro), ended.Format(time.StampMicro), d, err, again, why)
	}
}

// stale says why a name must not be d any more, or not yet, for an import that began at a time. With mu held.
func (w *crowd) stale(name string, d digest.Digest, began time.Time) string {
	shown := &publication{d: d, acknowledged: true} // no name at all: it was before all others
	for _, p := range w.made[name] {
		if p.d == d {
			shown = p
		}
	}
	if d != "" && shown.began.IsZero() {
		return "nobody has exported that"
	}
	end := shown.ended
	switch {
	case d != "" && end.IsZero():
		return "" // it is under way
	case !shown.acknowledged:
		end = end.Add(late)
	}
	for _, p := range w.made[name] {
		if p.acknowledged && p.began.After(end) && p.ended.Before(began.Add(-crowdRefresh)) {
			return fmt.Sprintf("%s was published after that, at %s", p.d, p.ended.Format(time.StampMicro))
		}
	}
	return ""
}

// prune deletes what no name reaches, and may not lose anything that a name needs.
func (w *crowd) prune() {
	report, lost, err := tryPrune(csv(w.c, "touch_refresh=2s"), "30s")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count["prunes"]++
	w.count["blobs pruned"] += report.Blobs
	w.count["names that prune says it harmed"] += lost
	if err != nil && (lost > 0 || strings.Contains(err.Error(), "was written while")) {
		w.t.Errorf("prune: %v", err)
	}
}
