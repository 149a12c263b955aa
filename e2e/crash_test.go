package e2e

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	containerdlog "github.com/containerd/log"
	"github.com/opencontainers/go-digest"
)

const (
	crashRounds = "LAYOUTFS_CRASH_ROUNDS" // of each kind; a long run has hundreds
	crashSeed   = "LAYOUTFS_CRASH_SEED"   // to see a failure again
)

// TestKill kills the daemon at random moments of exports, imports, evictions and publications, round after
// round on one cache directory. After every kill, no name in the bucket refers to a blob that is not there,
// no blob has wrong bytes, and (write through) every name that was acknowledged is there. After the next
// start every name can be read, and after a flush (write back) all are in the bucket and nothing is left behind.
func TestKill(t *testing.T) {
	quietContainerd(t)
	rounds := intOf(t, crashRounds, 8)
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"through", nil},
		{"back", []string{"--write", "back"}},
		{"evicting", []string{"--write", "back", "--cache-size", "3MiB"}},
	} {
		t.Run(c.name, func(t *testing.T) { newCrashes(t, "", c.flags...).run(rounds) })
	}
}

// TestPowerLoss does the same and cuts the power of the disk with each kill: the file system is shut down
// without its log or any data being flushed, and recovers its journal. What has to survive is what was
// acknowledged; everything else may be as old as the last fsync.
func TestPowerLoss(t *testing.T) {
	quietContainerd(t)
	rounds := intOf(t, crashRounds, 4)
	for _, c := range []struct {
		name, fs string
		flags    []string
	}{
		{"ext4", "ext4", []string{"--write", "back"}},
		{"xfs", "xfs", []string{"--write", "back"}},
		{"through", "ext4", nil},
	} {
		if c.name != "ext4" && os.Getenv(long) == "" {
			continue // `make chaos` has them
		}
		t.Run(c.name, func(t *testing.T) { newCrashes(t, c.fs, c.flags...).run(rounds) })
	}
}

// TestKillInARealBuild does the same to BuildKit's exports and imports, which must end as well. Afterwards
// the export is done again, and another builder on another machine finds all of it.
func TestKillInARealBuild(t *testing.T) {
	quietContainerd(t)
	k := newCrashes(t, "")
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
	k.boot()
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

// quietContainerd has containerd's client not log each operation that a fault cuts off.
func quietContainerd(t testing.TB) {
	containerdlog.L.Logger.SetOutput(io.Discard)
	t.Cleanup(func() { containerdlog.L.Logger.SetOutput(os.Stderr) })
}

// seedOf is the seed of a test's choices, which it tells.
func seedOf(t testing.TB) uint64 {
	t.Helper()
	seed := intOf(t, crashSeed, int(time.Now().UnixNano()&0xffffff))
	t.Logf("seed %d: run again with %s=%d", seed, crashSeed, seed)
	return uint64(seed)
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

func (k *crashes) run(rounds int) {
	typical := k.time(func() { // so that kills meet all of an export
		must(k.t, k.export(k.r, filepath.Join(k.mnt(), "team/app-0"), "team/app-0"))
	})
	span := min(8*typical, 2*time.Second)
	for round := range rounds {
		k.start()
		var workers sync.WaitGroup
		if k.r.IntN(8) > 0 { // else it is killed while it starts
			k.awaitMount()
			k.settle()
			k.work(&workers)
		}
		time.Sleep(time.Duration(k.r.Float64() * float64(span)))
		k.kill()
		workers.Wait()
		k.boot()
		k.check(!slices.Contains(k.flags, "back"))
		if k.t.Failed() {
			k.t.Fatalf("in round %d of %d; log of the daemon:\n%s", round+1, rounds, k.daemon.log())
		}
		if round%10 == 9 {
			k.end()
		}
	}
	k.end()
	k.t.Logf("%d kills within %s; %v; %d blobs in the bucket", rounds, span.Round(time.Millisecond), k.count, len(k.seen))
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

// settle lets a daemon that was started again finish: the queue goes on, what was acknowledged can be read,
// and nothing is left behind.
func (k *crashes) settle() {
	k.t.Helper()
	for name := range k.acked {
		must(k.t, k.read(filepath.Join(k.mnt(), name), name))
	}
	out, err := try(k.t, []string{"LAYOUTFS_RUNTIME_DIR=" + filepath.Join(k.dir, "run")}, layoutfs, "flush", k.mnt())
	if err != nil {
		k.t.Fatalf("flush: %v: %s", err, out)
	}
	k.check(true)
	eventually(k.t, "what was cut off is dropped", func() bool { return len(leftIn(k.t, filepath.Join(k.cache(), "uploads"))) == 0 })
	if n := k.p.parts(); n > 0 {
		k.t.Errorf("%d parts of uploads are left", n)
	}
	for _, dir := range []string{"tmp", "staged"} {
		for _, path := range leftIn(k.t, filepath.Join(k.cache(), dir)) {
			k.t.Errorf("left behind: %s", path)
		}
	}
	k.count["checks after a start"]++
}

// end settles, ends the daemon gently, and reads everything on a machine with an empty disk.
func (k *crashes) end() {
	k.start()
	k.awaitMount()
	k.settle()
	k.daemon.stop()
	other := newHost(k.t, k.c)
	for _, name := range slices.Sorted(maps.Keys(k.acked)) {
		must(k.t, k.read(other.path(name), name))
	}
	other.umount()
}

// leftIn lists the files in a directory and beneath it.
func leftIn(t testing.TB, dir string) (files []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil // it was removed meanwhile
		}
		return err
	}))
	return files
}
