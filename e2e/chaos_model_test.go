package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

const (
	modelRefresh = 100 * time.Millisecond
	modelOps     = 40 // in a sequence
	// reducing bounds how long a failing sequence is made shorter.
	reducing = 3 * time.Minute
)

// modelFlags are the mounts that sequences are done on.
var modelFlags = [][]string{nil, {"--write", "back"}, {"--allow-delete"}, {"--write", "back", "--allow-delete", "--cache-size", "3MiB"}}

// modelWorld is a new bucket and a new mount of it, which client processes and the outsider work on.
type modelWorld struct {
	t       *testing.T
	seed    uint64
	clients []*modelClient
	pool    [][]byte
	caches  caches
	flags   []string
	c       bucket.Config
	p       *plainS3
	h       *host
	log     string // of the daemon of the last run
	count   map[string]int
}

// TestChaosModel does random operations on a mount by several processes, by an outsider who writes to the bucket as
// type=s3, lifecycle rules and vandals do, and by one who restarts and kills the daemon, some of them at the same
// time, and wants each to end as the model allows that holds the promises of docs/semantics.md. At the end the
// bucket has what the model says, and so does another host. A sequence that fails is made as short as can be and
// printed, to be put into modelCases.
func TestChaosModel(t *testing.T) {
	seed := seedOf(t)
	w := newModelWorld(t, seed)
	deadline := time.Now().Add(timeOf(t, 5*time.Second, 4))
	done := 0
	for i := 0; done == 0 || time.Now().Before(deadline); i++ {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		w.flags = modelFlags[(int(seed)+i)%len(modelFlags)]
		w.want(randomOps(r, modelOps))
		if done++; t.Failed() {
			break
		}
	}
	t.Logf("%d sequences of %d operations: %v", done, modelOps, w.count)
}

// modelCases are sequences that once failed, or that failed in a thought.
var modelCases = []struct {
	flags []string
	ops   []op
}{
	// A name that is emptied does not reach what it had.
	{[]string{"--allow-delete"}, []op{
		{Who: outsider, What: "publish", A: 2, B: 63},
		{Who: 0, What: "import", A: 2},
		{Who: outsider, What: "empty name", A: 2},
		{Who: 2, What: "import", A: 2},
		{Who: 0, What: "unlink", A: 5},
		{Who: 1, What: "unlink", A: 5},
	}},
	// What waits to be published outlives a kill, and is not taken for older than what the outsider wrote before it.
	{[]string{"--write", "back"}, []op{
		{Who: outsider, What: "publish", A: 0, B: 0b111},
		{Who: 0, What: "export", A: 0, B: 0b011},
		{Who: keeper, What: "kill"},
		{Who: 1, What: "import", A: 0},
		{Who: outsider, What: "lose manifest", A: 0},
		{Who: 2, What: "unlink", A: 2, AtOnce: true},
		{Who: 2, What: "read", A: 2},
		{Who: outsider, What: "publish", A: 2, B: 0b100},
		{Who: 0, What: "import", A: 2},
		{Who: 1, What: "read", A: 2, AtOnce: true},
		{Who: 2, What: "export", A: 0, B: 0b011},
		{Who: 0, What: "import", A: 0},
	}},
	// An export that is told that a layer is gone is done again at once, and writes it.
	{[]string{"--write", "back"}, []op{
		{Who: 0, What: "export", A: 0, B: 0b011},
		{Who: outsider, What: "lose layer", A: 0},
		{Who: 0, What: "unlink", A: 0},
		{Who: 1, What: "import", A: 0},
		{Who: 0, What: "read", A: 0},
		{Who: 0, What: "export", A: 0, B: 0b011},
		{Who: 0, What: "import", A: 0},
	}},
}

// TestSequencesOfOperations does those of modelCases.
func TestSequencesOfOperations(t *testing.T) {
	w := newModelWorld(t, 1)
	for _, c := range modelCases {
		w.flags = c.flags
		w.want(c.ops)
	}
}

func newModelWorld(t *testing.T, seed uint64) *modelWorld {
	t.Helper()
	w := &modelWorld{t: t, seed: seed, pool: modelPool(seed), count: map[string]int{}}
	for range modelClients {
		w.clients = append(w.clients, newModelClient(t))
	}
	for _, b := range w.pool {
		w.caches.layers = append(w.caches.layers, digest.FromBytes(b))
	}
	w.caches.manifest = func(set int) digest.Digest { return w.cache(set).desc.Digest }
	return w
}

func (w *modelWorld) cache(set int) synthetic {
	w.t.Helper()
	c, err := modelCache(w.pool, set)
	must(w.t, err)
	return c
}

// want fails, and prints the shortest sequence that does, if these operations break a promise.
func (w *modelWorld) want(ops []op) {
	w.t.Helper()
	why := w.run(ops)
	if why == "" {
		return
	}
	w.t.Errorf("%s\nafter %d operations; they are now made fewer", why, len(ops))
	until := time.Now().Add(reducing)
	ops = reduce(ops, func(ops []op) bool {
		if time.Now().After(until) {
			return false
		}
		shorter := w.run(ops)
		if shorter != "" {
			why = shorter
		}
		return shorter != ""
	})
	w.t.Logf("%s\nafter these %d operations (layers of seed %d), which can be put into modelCases:\n%s\nlog of the daemon:\n%s", why, len(ops), w.seed, literal(w.flags, ops), w.log)
}

// run does operations on a new bucket and a new mount, and says what they break.
func (w *modelWorld) run(ops []op) (why string) {
	w.t.Run("run", func(t *testing.T) {
		w.c = anyServer(t).config(t)
		w.p = newPlainS3(t, w.c)
		w.h = newHost(t, w.c, append([]string{"--refresh", modelRefresh.String()}, w.flags...)...)
		why = w.runOn(t, ops)
		w.log = w.h.log()
	})
	return why
}

func (w *modelWorld) runOn(t *testing.T, ops []op) (why string) {
	t.Helper()
	may := states{newState(slices.Contains(w.flags, "--allow-delete"))}
	for _, round := range rounds(ops) {
		ends := w.do(round)
		for i, o := range round {
			w.count[o.What+": "+ends[i].How]++
		}
		after := may.after(round, ends, w.caches)
		if len(after) == 0 {
			return fmt.Sprintf("%+v ended with %+v, which the model does not allow in %+v", round, ends, may)
		}
		may = after
	}
	return w.check(t, may)
}

// do does the operations of a round at the same time.
func (w *modelWorld) do(round []op) []outcome {
	w.t.Helper()
	outside := anyIs(round, func(o op) bool { return o.Who == outsider })
	if outside {
		w.h.do("flush", w.h.mnt) // so that what waits to be published is older than what he writes
	}
	ends := make([]outcome, len(round))
	var all sync.WaitGroup
	for i, o := range round {
		all.Go(func() { ends[i] = w.one(o) })
	}
	all.Wait()
	if outside {
		time.Sleep(modelRefresh) // then all opens see it
	}
	return ends
}

func (w *modelWorld) one(o op) outcome {
	switch o.Who {
	case outsider:
		return ended(w.outside(o))
	case keeper:
		return ended(w.restart(o))
	}
	end, err := w.clients[o.Who].do(request{Op: o, Mnt: w.h.mnt, Seed: w.seed})
	if err != nil {
		return outcome{How: failed, Why: "the client has ended: " + err.Error()}
	}
	return end
}

func (w *modelWorld) restart(o op) error {
	if o.What == "kill" {
		w.h.kill()
		w.h.mount()
	} else {
		w.h.remount()
	}
	return nil
}

// outside does what the outsider does.
func (w *modelWorld) outside(o op) error {
	name := w.c.Prefix + w.c.ManifestsPrefix + modelNames[o.A%len(modelNames)]
	blob := func(d digest.Digest) string { return w.c.Prefix + w.c.BlobsPrefix + d.String() }
	layer := w.pool[o.A%modelLayers]
	method, key, body := http.MethodPut, name, []byte("{")
	switch o.What {
	case "publish":
		return w.publish(name, o.B)
	case "delete name":
		method, body = http.MethodDelete, nil
	case "empty name":
		body = []byte("{}")
	case "lose layer":
		method, key, body = http.MethodDelete, blob(digest.FromBytes(layer)), nil
	case "spoil layer":
		key, body = blob(digest.FromBytes(layer)), slices.Concat([]byte{layer[0] + 1}, layer[1:])
	case "lose manifest":
		n, ok := w.p.names()[modelNames[o.A]]
		if !ok || n.manifest == nil {
			return nil
		}
		method, key, body = http.MethodDelete, blob(n.manifest.Digest), nil
	}
	_, _, err := w.p.request(method, key, nil, body...)
	return err
}

// publish writes a cache as a client of type=s3 does.
func (w *modelWorld) publish(key string, set int) error {
	c := w.cache(set)
	for _, b := range c.layers {
		if _, _, err := w.p.request(http.MethodPut, w.c.Prefix+w.c.BlobsPrefix+digest.FromBytes(b).String(), nil, b...); err != nil {
			return err
		}
	}
	_, _, err := w.p.request(http.MethodPut, key, nil, cacheConfigOf(w.t, c)...)
	return err
}

// check wants bucket and other hosts to be as the model says.
func (w *modelWorld) check(t *testing.T, may states) string {
	t.Helper()
	w.h.do("flush", w.h.mnt)
	names, blobs := w.p.names(), w.p.blobs()
	other := newHost(t, w.c)
	ends := map[int]outcome{}
	for i, name := range modelNames {
		ends[i] = request{Op: op{What: "import", A: i}, Mnt: other.mnt, Seed: w.seed}.do()
		if n := names[name]; n.manifest != nil && !slices.Contains(w.lost(may), n.manifest.Digest) {
			if _, ok := blobs[n.manifest.Digest]; !ok {
				return fmt.Sprintf("name %q refers to a manifest that is not in the bucket", name)
			}
		}
	}
	var whys []string
	for _, s := range may {
		why := w.differs(s, names, blobs, ends)
		if why == "" {
			return ""
		}
		whys = append(whys, why)
	}
	return strings.Join(whys, "; or ")
}

// lost lists the manifests that the outsider may have deleted.
func (w *modelWorld) lost(may states) (all []digest.Digest) {
	for _, s := range may {
		for set := range s.headless {
			all = append(all, w.caches.manifest(set))
		}
	}
	return all
}

// differs says what in the bucket, or in what another host imported, is not as in a state.
func (w *modelWorld) differs(s state, names map[string]plainName, blobs map[digest.Digest]listed, ends map[int]outcome) string {
	for i, name := range modelNames {
		want, n := s.names[i], names[name]
		var manifest digest.Digest
		if n.manifest != nil {
			manifest = n.manifest.Digest
		}
		switch {
		case want.ours && manifest != w.caches.manifest(want.layers):
			return fmt.Sprintf("name %q is %q in the bucket, and was acknowledged as layers %b", name, manifest, want.layers)
		case !want.ours && manifest != "" || want.shown != (len(n.config) > 2):
			return fmt.Sprintf("name %q is %q with %.60q in the bucket; want %+v", name, manifest, n.config, want)
		case !s.mayImport(i, ends[i], true, w.caches):
			return fmt.Sprintf("on another host the import of %q ended with %+v, which the model does not allow in %+v", name, ends[i], s)
		}
	}
	for i, d := range w.caches.layers {
		reached, _ := s.reached(i)
		if l := s.layers[i]; reached && l.whole() && blobs[d].Size != int64(len(w.pool[i])) {
			return fmt.Sprintf("layer %d is reached, and the bucket has %+v of it", i, blobs[d])
		}
	}
	return ""
}
