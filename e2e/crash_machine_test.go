package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// crashes is one machine whose daemon is killed again and again.
type crashes struct {
	t     *testing.T
	r     *rand.Rand
	c     bucket.Config
	p     *plainS3
	flags []string
	dir   string
	disk  *volume                // whose power is cut with each kill, if there is one
	seen  map[digest.Digest]bool // blobs that were found right
	pool  [][]byte               // layers that caches share

	daemon *process
	starts int

	mu    sync.Mutex                 // guards following
	acked map[string][]digest.Digest // by name: what was acknowledged last, and tried since
	count map[string]int             // for the record
}

// newCrashes makes a machine with an empty disk. fs is a file system that loses with each kill what was not
// flushed; empty: what the daemon has written stays.
func newCrashes(t *testing.T, fs string, flags ...string) *crashes {
	t.Helper()
	seed := seedOf(t)
	dir := t.TempDir()
	c := anyServer(t).config(t)
	k := &crashes{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), c: c, p: newPlainS3(t, c), flags: flags, dir: dir,
		seen: map[digest.Digest]bool{}, acked: map[string][]digest.Digest{}, count: map[string]int{},
	}
	if fs != "" {
		k.disk = newVolume(t, fs, "600M")
		k.flags = append(k.flags, "--min-free", "32MiB")
	}
	must(t, os.Mkdir(k.mnt(), 0o755))
	for range 6 {
		k.pool = append(k.pool, randomBytes(k.r, 1000+k.r.IntN(300_000)))
	}
	k.pool = append(k.pool, randomBytes(k.r, 20<<20)) // in parts
	t.Cleanup(func() {
		k.kill()
		_ = syscall.Unmount(k.mnt(), syscall.MNT_DETACH) // if there is a dead mount
	})
	return k
}

func (k *crashes) mnt() string { return filepath.Join(k.dir, "mnt") }

func (k *crashes) cache() string {
	if k.disk != nil {
		return k.disk.path("cache")
	}
	return filepath.Join(k.dir, "cache")
}

// start starts the daemon in the foreground, as a child that can be killed at any time.
func (k *crashes) start() {
	k.t.Helper()
	args := append([]string{"mount", "--cache-dir", k.cache(), "--refresh", "100ms"}, k.flags...)
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

// kill ends the daemon as a crash does, or as a power loss.
func (k *crashes) kill() {
	if k.daemon == nil {
		return
	}
	if k.disk != nil {
		freeze(k.t, k.daemon)
		k.disk.cut()
	}
	_ = k.daemon.cmd.Process.Kill()
	<-k.daemon.done
	if _, race, found := cutAtRace(k.daemon.log()); found {
		k.t.Errorf("the daemon has a data race:\n%s", race)
	}
}

// boot is what comes after a power loss: the mount is gone, and the disk has what was flushed.
func (k *crashes) boot() {
	k.t.Helper()
	if k.disk == nil {
		return
	}
	_ = syscall.Unmount(k.mnt(), syscall.MNT_DETACH) // it may have come to none
	runtime.GC()                                     // see exportTo
	k.disk.restore()
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
