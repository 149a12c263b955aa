package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestChaosDisk has clients export and import while single calls to the disk of the cache directory fail with EIO:
// reads, writes, fsyncs, renames, opens and more, one or all of a kind for a while. Clients may get errors, and never
// wrong bytes; the daemon lives; what it acknowledged is in the bucket and is read, also after a restart; and when the
// disk is well again everything works.
func TestChaosDisk(t *testing.T) {
	quietContainerd(t)
	t.Run("through", func(t *testing.T) { chaosDisk(t) })
	t.Run("back", func(t *testing.T) { chaosDisk(t, "--write", "back") })
}

func chaosDisk(t *testing.T, flags ...string) {
	seed := seedOf(t)
	config := anyServer(t).config(t)
	p := newPlainS3(t, config)
	d := newSickDisk(t, seed)
	log := filepath.Join(t.TempDir(), "log") // not on the disk that fails
	flags = append(flags, "--cache-size", "8MiB", "--refresh", "100ms", "--log-file", log)
	h := newHostOn(t, filepath.Join(d.dir, "cache"), csv(config), flags...)
	on := h.status().Passthrough

	d.fail(t, true)
	clients := useSickDisk(t, h, seed, timeOf(t, 4*time.Second, 8))
	d.fail(t, false)

	b, err := os.ReadFile(log)
	must(t, err)
	if s := h.status(); s.PID != h.pid || s.LastError == nil || !strings.Contains(string(b), "input/output error") {
		t.Errorf("status and log do not say what was wrong: %+v", s.LastError)
	}
	eventually(t, "an export succeeds again", func() bool {
		return newSynthetic(t, []byte("after")).exportTo(t.Context(), h.path("after"), "latest") == nil
	})
	h.do("flush", h.mnt)
	p.wantWhole()
	p.wantRight(map[digest.Digest]bool{})
	done, failed := 0, 0
	for _, c := range clients {
		done, failed = done+c.done, failed+c.failed
		c.wantKept(h, p)
	}
	h.remount()
	for _, c := range clients {
		c.wantKept(h, p)
	}
	calls := d.failures()
	t.Logf("%d operations, %d of them failed; calls that failed: %v; passthrough: %+v", done, failed, calls, on)
	if done == failed || len(calls) < 3 {
		t.Errorf("%d operations, %d failed, calls %v: the test tests nothing", done, failed, calls)
	}
}

// sickClient has a name of its own, so it knows what was acknowledged last.
type sickClient struct {
	t            *testing.T
	name         string
	may          map[digest.Digest]bool // what was acknowledged last, and what was tried since
	acknowledged bool
	done, failed int
}

// useSickDisk has clients at work for a time, and until one of their operations succeeds.
func useSickDisk(t *testing.T, h *host, seed uint64, d time.Duration) []*sickClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	limit, stop := context.WithTimeout(t.Context(), d+time.Minute)
	defer stop()
	var succeeded atomic.Bool
	var all sync.WaitGroup
	var clients []*sickClient
	for i := range 4 {
		c := &sickClient{t: t, name: fmt.Sprint("app-", i), may: map[digest.Digest]bool{}}
		clients = append(clients, c)
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		all.Go(func() {
			for ctx.Err() == nil || !succeeded.Load() && limit.Err() == nil {
				if c.operate(h, r) {
					succeeded.Store(true)
				}
			}
		})
	}
	all.Wait()
	return clients
}

// operate exports or imports, and says whether that succeeded.
func (c *sickClient) operate(h *host, r *rand.Rand) bool {
	began := time.Now()
	var err error
	if r.IntN(2) == 0 {
		s := newSynthetic(c.t, randomBytes(r, 1+r.IntN(2<<20)), []byte("shared"))
		c.may[s.desc.Digest] = true
		if err = s.exportTo(c.t.Context(), h.path(c.name), "latest"); err == nil {
			c.may, c.acknowledged = map[digest.Digest]bool{s.desc.Digest: true}, true
		}
	} else if _, err = importFrom(h.path(c.name), "latest"); errors.Is(err, errWrongBytes) {
		c.t.Error(err)
	}
	if c.done++; err != nil {
		c.failed++
	}
	if took := time.Since(began); took > time.Minute {
		c.t.Errorf("an operation took %s and ended with: %v", took, err)
	}
	return err == nil
}

// wantKept wants what was acknowledged, or a later try, in the bucket and in the mount.
func (c *sickClient) wantKept(h *host, p *plainS3) {
	c.t.Helper()
	if !c.acknowledged {
		return
	}
	within(c.t, time.Minute, "what was acknowledged under "+c.name+" is read", func() bool {
		got, err := importFrom(h.path(c.name), "latest")
		if errors.Is(err, errWrongBytes) {
			c.t.Fatal(err)
		}
		return err == nil && c.may[got]
	})
	n, ok := p.names()[c.name]
	if !ok || n.manifest == nil || !c.may[n.manifest.Digest] {
		c.t.Errorf("the bucket has %+v under %s; want one of %v", n.manifest, c.name, slices.Collect(maps.Keys(c.may)))
	}
}
