package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/layoutfs/layoutfs/child"
)

// damage changes a file, whatever its permissions, and leaves its times.
func damage(t testing.TB, path string, f func([]byte) []byte) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	b, err := os.ReadFile(path)
	must(t, err)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer file.Close()
	b = f(b)
	_, err = file.WriteAt(b, 0)
	must(t, err)
	must(t, file.Truncate(int64(len(b))))
	must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
}

// TestDamagedIndex: whatever happens to the index while nobody looks, nothing is lost, and nothing that is
// warm is fetched again, and the next mount serves.
func TestDamagedIndex(t *testing.T) {
	rounds := 4
	if os.Getenv(long) != "" {
		rounds = 60
	}
	seed := seedOf(t)
	r := rand.New(rand.NewPCG(seed, 1))
	config := anyServer(t).config(t)
	h := newHost(t, config, "--write", "back", "--refresh", "10ms")
	for round := range rounds {
		c := newSynthetic(t, randomBytes(r, 100_000))
		must(t, c.exportTo(t.Context(), h.path("app"), "latest"))
		if r.IntN(2) == 0 {
			h.umount()
		} else {
			h.kill()
		}
		what := damageIndex(t, r, filepath.Join(h.cache, "index"))
		h.mount()
		if d, err := importFrom(h.path("app"), "latest"); err != nil || d != c.desc.Digest {
			t.Fatalf("round %d: %s: the name is %q, not %s: %v\n%s", round, what, d, c.desc.Digest, err, h.log())
		}
		if n := h.status().Counters.FetchedBlobs; n > 0 {
			t.Errorf("round %d: %s: %d blobs were fetched", round, what, n)
		}
	}
	h.do("flush", h.mnt)
	newPlainS3(t, config).wantWhole()
	t.Logf("%d indexes were damaged", rounds)
}

// TestIndexIsDamagedWhileItIsMounted, or its process ends: the daemon goes on, and says what is wrong; builds see nothing of it, and the
// next mount begins the index anew.
func TestIndexIsDamagedWhileItIsMounted(t *testing.T) {
	rounds := 6
	if os.Getenv(long) != "" {
		rounds = 20
	}
	seed := seedOf(t)
	r := rand.New(rand.NewPCG(seed, 2))
	config := anyServer(t).config(t)
	h := newHost(t, config, "--refresh", "10ms")
	before := newSynthetic(t, []byte("before"))
	must(t, before.exportTo(t.Context(), h.path("before"), "latest"))
	noticed := 0
	for round := range rounds {
		index := filepath.Join(h.cache, "index")
		var what string
		if round%2 == 0 {
			what = endIndex(t, h.pid)
		} else {
			what = damageIndex(t, r, index)
		}
		c := newSynthetic(t, randomBytes(r, 100_000))
		if err := c.exportTo(t.Context(), h.path("app"), "latest"); err != nil {
			t.Fatalf("round %d: %s: %v\n%s", round, what, err, h.log())
		}
		for name, want := range map[string]synthetic{"app": c, "before": before} {
			if d, err := importFrom(h.path(name), "latest"); err != nil || d != want.desc.Digest {
				t.Fatalf("round %d: %s: %s is %q, not %s: %v\n%s", round, what, name, d, want.desc.Digest, err, h.log())
			}
		}
		if s := h.status(); s.PID != h.pid {
			t.Fatalf("round %d: %s: the daemon is %d, and was %d", round, what, s.PID, h.pid)
		} else if strings.Contains(s.Cache.Index, "kept in memory") {
			noticed++
		} else if round%2 == 0 {
			t.Errorf("round %d: %s: status says %+v", round, what, s.Cache)
		}
		h.remount()
		if d, err := importFrom(h.path("app"), "latest"); err != nil || d != c.desc.Digest {
			t.Fatalf("round %d: %s: after a restart the name is %q, not %s: %v\n%s", round, what, d, c.desc.Digest, err, h.log())
		}
		if n := h.status().Counters.FetchedBlobs; n > 0 {
			t.Errorf("round %d: %s: %d blobs were fetched", round, what, n)
		}
	}
	newPlainS3(t, config).wantWhole()
	t.Logf("%d of %d damages were noticed before the end of the mount", noticed, rounds)
}

// endIndex ends the process that has the index of a daemon open.
func endIndex(t testing.TB, daemon int) string {
	t.Helper()
	pid, err := child.Find(daemon, "layoutfs-index")
	must(t, err)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	return "without its process"
}

// damageIndex does something to a file of an index, or removes the index, and says what.
func damageIndex(t testing.TB, r *rand.Rand, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	if len(files) == 0 || r.IntN(6) == 0 {
		must(t, os.RemoveAll(dir))
		return "no index"
	}
	path := files[r.IntN(len(files))]
	info, err := os.Stat(path)
	must(t, err)
	switch kind := r.IntN(4); {
	case kind == 0 || info.Size() == 0 || info.Size() > 32<<20:
		must(t, os.Remove(path))
		return "without " + path
	case kind == 1:
		must(t, os.Truncate(path, r.Int64N(info.Size())))
		return "cut " + path
	case kind == 2:
		damage(t, path, func(b []byte) []byte { return randomBytes(r, min(len(b), 4<<20)) })
		return "random " + path
	}
	at := r.IntN(int(min(info.Size(), 64<<10)))
	damage(t, path, func(b []byte) []byte { b[at] ^= 1 << r.IntN(8); return b })
	return fmt.Sprintf("bit %d of %s", at, path)
}

// TestOlderCacheDirectory: what later versions added to the cache directory may be missing.
func TestOlderCacheDirectory(t *testing.T) {
	config := anyServer(t).config(t)
	h := newHost(t, config)
	c := newSynthetic(t, []byte("old"))
	must(t, c.exportTo(t.Context(), h.path("app"), "latest"))
	h.umount()
	for _, name := range []string{"uploads", "tmp", "staged/names", "partial/sha512", "bucket.json", "index"} {
		must(t, os.RemoveAll(filepath.Join(h.cache, name)))
	}
	h.mount()
	if _, err := importFrom(h.path("app"), "latest"); err != nil {
		t.Error(err)
	}
	if n := h.status().Counters.FetchedBlobs; n > 0 {
		t.Errorf("%d blobs were fetched that are warm", n)
	}
}

// TestDiskThatRefuses: the permission to write to the cache directory is taken away, and given back.
func TestDiskThatRefuses(t *testing.T) {
	s := newSick(t, newVolume(t, "ext4", "200M"))
	s.immutable(true)
	t.Cleanup(func() { s.immutable(false) })
	s.endure("operation not permitted", syscall.EPERM, syscall.EIO)
	s.immutable(false)
	s.recovered()
}

// immutable takes the permission to change them from all folders of the cache directory, which stops root too.
func (s *sick) immutable(yes bool) {
	s.t.Helper()
	const immutable = 0x10 // FS_IMMUTABLE_FL
	must(s.t, filepath.WalkDir(s.cache, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		if err != nil {
			return err
		}
		if flags &^= immutable; yes {
			flags |= immutable
		}
		return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
	}))
}

// TestWhoMay: nobody but the owner reaches mount, cache directory and control socket. With --allow-other
// others may read what modes let them, and nothing else.
func TestWhoMay(t *testing.T) {
	config := anyServer(t).config(t)
	h := newHost(t, config)
	must(t, newSynthetic(t, []byte("mine")).exportTo(t.Context(), h.path("app"), "latest"))
	must(t, os.Chmod(filepath.Dir(h.cache), 0o755)) // so that what is in it protects itself
	must(t, filepath.WalkDir(h.cache, wantPrivate(t)))
	must(t, filepath.WalkDir(h.run, wantPrivate(t)))
	stranger := func(args ...string) (string, error) {
		return try(t, nil, "setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups"}, args...)...)
	}
	for _, path := range []string{h.path("index.json"), filepath.Join(h.cache, "bucket.json"), h.run} {
		if out, err := stranger("ls", path); err == nil {
			t.Errorf("a stranger sees %s: %s", path, out)
		}
	}
	other := newHost(t, config, "--allow-other")
	must(t, os.Chmod(filepath.Dir(other.cache), 0o755))
	if out, err := stranger("cat", other.path("app", "index.json")); err != nil {
		t.Errorf("a stranger cannot read: %v: %s", err, out)
	}
	for _, args := range [][]string{{"touch", other.path("new")}, {"sh", "-c", "echo {} > " + other.path("app", "index.json")}} {
		if out, err := stranger(args...); err == nil || !strings.Contains(strings.ToLower(out), "permission denied") {
			t.Errorf("a stranger may %q: %v: %s", args, err, out)
		}
	}
}

// wantPrivate fails for what others than the owner may reach: a folder that they may enter, or a file that
// they may change.
func wantPrivate(t testing.TB) func(path string, e os.DirEntry, err error) error {
	return func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == "tree" {
			return filepath.SkipDir // in a private folder, with the modes that clients gave
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if mode := info.Mode(); e.IsDir() && mode.Perm()&0o077 != 0 || mode.Perm()&0o022 != 0 {
			t.Errorf("%s is %s", path, mode)
		}
		if info.Mode()&os.ModeSocket != 0 && info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %s", path, info.Mode())
		}
		return nil
	}
}
