package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	containerdlog "github.com/containerd/log"
	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

const (
	crashRounds = "LAYOUTFS_CRASH_ROUNDS" // of each kind; a long run has hundreds
	crashSeed   = "LAYOUTFS_CRASH_SEED"   // to see a failure again
)

// TestKill kills the daemon at random moments of exports, imports, evictions and publications, round after
// round on one cache directory. After every kill, no name in the bucket refers to a blob that is not there,
// no blob has wrong bytes, and (write through) every name that was acknowledged is there. After a flush
// (write back) they are as well, and nothing is left behind.
func TestKill(t *testing.T) {
	rounds := intOf(t, crashRounds, 8)
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"through", nil},
		{"back", []string{"--write", "back"}},
		{"evicting", []string{"--write", "back", "--cache-size", "3MiB"}},
	} {
		t.Run(c.name, func(t *testing.T) { newCrashes(t, c.flags...).run(rounds) })
	}
}

// TestKillInARealBuild does the same to BuildKit's exports and imports, which must end as well. Afterwards
// the export is done again, and another builder on another machine finds all of it.
func TestKillInARealBuild(t *testing.T) {
	k := newCrashes(t)
	b := newBuilder(t)
	dir := newContext(t)
	b.build(dir)
	cache := "type=local,mode=max,dest=" + filepath.Join(k.mnt(), "team/app")
	typical := k.time(func() { b.build(dir, "--export-cache", cache+"-first") })
	for range intOf(t, crashRounds, 8) / 2 {
		k.during(typical, func() { _, _ = b.try(dir, "--export-cache", cache) })
		k.during(typical, func() {
			other := newBuilder(t)
			_, _ = other.try(dir, "--import-cache", "type=local,src="+filepath.Join(k.mnt(), "team/app-first"))
		})
	}
	k.start()
	k.awaitMount()
	b.build(dir, "--export-cache", cache)
	k.daemon.stop()
	k.check(true)
	from := "type=local,src=" + newHost(t, k.c).path("team/app")
	newBuilder(t).build(dir, "--import-cache", from).wantAllCached(t)
}

// time says how long f takes, with a daemon running.
func (k *crashes) time(f func()) time.Duration {
	k.start()
	k.awaitMount()
	began := time.Now()
	f()
	took := time.Since(began)
	k.kill()
	return took
}

// during kills the daemon while f is at work, and waits for f.
func (k *crashes) during(typical time.Duration, f func()) {
	k.start()
	k.awaitMount()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	time.Sleep(time.Duration(k.r.Float64() * 1.5 * float64(typical)))
	k.kill()
	select {
	case <-done:
	case <-time.After(time.Minute):
		k.t.Fatal("a build hangs after the daemon was killed")
	}
	k.check(true)
}

func intOf(t testing.TB, name string, value int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return value
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// crashes is one machine whose daemon is killed again and again.
type crashes struct {
	t     *testing.T
	r     *rand.Rand
	c     bucket.Config
	p     *plainS3
	flags []string
	dir   string
	seen  map[digest.Digest]bool // blobs that were found right
	pool  [][]byte               // layers that caches share

	daemon *process
	starts int

	mu    sync.Mutex                 // guards following
	acked map[string][]digest.Digest // by name: what was acknowledged last, and tried since
	count map[string]int             // for the record
}

func newCrashes(t *testing.T, flags ...string) *crashes {
	t.Helper()
	seed := uint64(intOf(t, crashSeed, int(time.Now().UnixNano()&0xffffff)))
	t.Logf("seed %d: run again with %s=%d", seed, crashSeed, seed)
	dir := t.TempDir()
	c := anyServer(t).config(t)
	k := &crashes{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), c: c, p: newPlainS3(t, c), flags: flags, dir: dir,
		seen: map[digest.Digest]bool{}, acked: map[string][]digest.Digest{}, count: map[string]int{},
	}
	must(t, os.Mkdir(k.mnt(), 0o755))
	for range 6 {
		k.pool = append(k.pool, randomBytes(k.r, 1000+k.r.IntN(300_000)))
	}
	k.pool = append(k.pool, randomBytes(k.r, 20<<20)) // in parts
	containerdlog.L.Logger.SetOutput(io.Discard)      // it tells of every operation that the kill cuts off
	t.Cleanup(func() {
		containerdlog.L.Logger.SetOutput(os.Stderr)
		k.kill()
		_ = syscall.Unmount(k.mnt(), syscall.MNT_DETACH) // if there is a dead mount
	})
	return k
}

func (k *crashes) mnt() string { return filepath.Join(k.dir, "mnt") }

func (k *crashes) run(rounds int) {
	typical := k.time(func() { // so that kills meet all of an export
		must(k.t, k.export(k.r, filepath.Join(k.mnt(), "team/app-0"), "team/app-0"))
	})
	for round := range rounds {
		k.start()
		var workers sync.WaitGroup
		if k.r.IntN(8) > 0 { // else it is killed while it starts
			k.awaitMount()
			k.work(&workers)
		}
		time.Sleep(time.Duration(k.r.Float64() * 8 * float64(typical)))
		k.kill()
		workers.Wait()
		k.check(len(k.flags) == 0)
		if k.t.Failed() {
			k.t.Fatalf("in round %d of %d; log of the daemon:\n%s", round+1, rounds, k.daemon.log())
		}
		if round%10 == 9 {
			k.settle()
		}
	}
	k.settle()
	k.t.Logf("%d kills within 8 x %s; %v; %d blobs in the bucket", rounds, typical.Round(time.Millisecond), k.count, len(k.seen))
}

// start starts the daemon in the foreground, as a child that can be killed at any time.
func (k *crashes) start() {
	k.t.Helper()
	args := append([]string{"mount", "--cache-dir", filepath.Join(k.dir, "cache"), "--refresh", "100ms"}, k.flags...)
	env := []string{"LAYOUTFS_RUNTIME_DIR=" + filepath.Join(k.dir, "run"), "LAYOUTFS_S3=" + csv(k.c)}
	k.starts++
	dir := filepath.Join(k.dir, fmt.Sprint("start-", k.starts))
	must(k.t, os.Mkdir(dir, 0o700))
	var err error
	k.daemon, err = startProcess(dir, env, layoutfs, append(args, k.mnt())...)
	must(k.t, err)
}

func (k *crashes) awaitMount() {
	k.t.Helper()
	must(k.t, k.daemon.awaitUp(func() bool {
		_, err := os.Stat(filepath.Join(k.mnt(), "oci-layout"))
		return err == nil
	}))
}

// kill ends the daemon as a crash does.
func (k *crashes) kill() {
	if k.daemon == nil {
		return
	}
	_ = k.daemon.cmd.Process.Kill()
	<-k.daemon.done
	if _, race, found := cutAtRace(k.daemon.log()); found {
		k.t.Errorf("the daemon has a data race:\n%s", race)
	}
}

// work begins what the kill is to interrupt: some clients, each with a name of its own.
func (k *crashes) work(wg *sync.WaitGroup) {
	for i := range 4 {
		name := fmt.Sprintf("team/app-%d", i)
		seed := k.r.Uint64()
		wg.Go(func() { k.client(rand.New(rand.NewPCG(seed, 2)), name) })
	}
}

// client uses the cache of a name until the mount is gone.
func (k *crashes) client(r *rand.Rand, name string) {
	dir := filepath.Join(k.mnt(), name)
	for {
		var err error
		if r.IntN(4) == 0 {
			err = k.read(dir, name)
		} else {
			err = k.export(r, dir, name)
		}
		if err != nil {
			return
		}
	}
}

// export writes a cache, of layers that other caches have as well and new ones.
func (k *crashes) export(r *rand.Rand, dir, name string) error {
	layers := [][]byte{randomBytes(r, 1+r.IntN(200_000))}
	for _, b := range k.pool {
		if r.IntN(3+len(b)/(2<<20)) == 0 { // the large ones seldom
			layers = append(layers, b)
		}
	}
	c := newSynthetic(k.t, layers...)
	k.note(name, c.desc.Digest, false)
	if err := c.exportTo(k.t.Context(), dir, "latest"); err != nil {
		return err
	}
	k.note(name, c.desc.Digest, true)
	return nil
}

// note keeps what a name may be: an acknowledgement ends what was before.
func (k *crashes) note(name string, d digest.Digest, acknowledged bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if acknowledged {
		k.acked[name] = []digest.Digest{d}
		k.count["exports acknowledged"]++
		return
	}
	if len(k.acked[name]) == 0 {
		k.acked[name] = []digest.Digest{""} // nothing yet
	}
	k.acked[name] = append(k.acked[name], d)
}

func (k *crashes) read(dir, name string) error {
	d, err := importFrom(dir, "latest")
	if errors.Is(err, errWrongBytes) {
		k.t.Error(err)
	}
	if errors.Is(err, errNoTag) || d == "" && errors.Is(err, os.ErrNotExist) || err == nil {
		k.expect(name, d)
		k.mu.Lock()
		k.count["imports"]++
		k.mu.Unlock()
		return nil
	}
	return err
}

// expect fails if a name is not what was acknowledged or tried since; "" is no name.
func (k *crashes) expect(name string, d digest.Digest) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if may := k.acked[name]; len(may) > 0 && !slices.Contains(may, d) {
		k.t.Errorf("name %q is %q; acknowledged, and tried since, were %q", name, d, may)
	}
}

// check looks at the bucket, after a kill.
func (k *crashes) check(all bool) {
	names := k.p.wantWhole()
	k.p.wantRight(k.seen)
	if !all {
		return
	}
	for name := range k.acked {
		var d digest.Digest
		if n, ok := names[name]; ok && n.manifest != nil {
			d = n.manifest.Digest
		}
		k.expect(name, d)
	}
}

// settle starts the daemon once more and lets it finish: the queue goes on, what was acknowledged can be
// read here and on a machine with an empty disk, and nothing is left behind.
func (k *crashes) settle() {
	k.start()
	k.awaitMount()
	for name := range k.acked {
		must(k.t, k.read(filepath.Join(k.mnt(), name), name))
	}
	out, err := try(k.t, []string{"LAYOUTFS_RUNTIME_DIR=" + filepath.Join(k.dir, "run")}, layoutfs, "flush", k.mnt())
	if err != nil {
		k.t.Fatalf("flush: %v: %s", err, out)
	}
	k.check(true)
	eventually(k.t, "no parts of an upload are left", func() bool { return k.p.parts() == 0 })
	for _, dir := range []string{"tmp", "uploads", "staged"} {
		k.wantEmpty(filepath.Join(k.dir, "cache", dir))
	}
	k.daemon.stop()
	other := newHost(k.t, k.c)
	for _, name := range slices.Sorted(maps.Keys(k.acked)) {
		must(k.t, k.read(other.path(name), name))
	}
	other.umount()
}

func (k *crashes) wantEmpty(dir string) {
	k.t.Helper()
	must(k.t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			k.t.Errorf("left behind: %s", path)
		}
		return err
	}))
}
