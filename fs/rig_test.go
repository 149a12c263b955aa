package fs

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestMain is also what this program does in other processes for its tests.
func TestMain(m *testing.M) {
	var err error
	if dir := os.Getenv(serveEnv); dir != "" {
		err = serve(dir)
	} else if path := os.Getenv(mapEnv); path != "" {
		err = mapForOthers(path, os.Getenv(mapWriteEnv) != "")
	} else {
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// rig is a mount with everything behind it.
type rig struct {
	mnt     string
	local   string // its scratch
	blobs   *fakeBlobs
	names   *fakeNames
	srv     *Server
	log     *logBuffer
	panics  bool // are expected
	unended bool // the test ends the mount itself
}

// logBuffer is a log that a test reads while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// testMount mounts for a test, for real. At the end of the test nothing may be left open in it: a handle
// that was not released keeps it busy, or a blob open.
func testMount(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	return mountIn(t, t.TempDir(), change...)
}

// mountIn is testMount in a folder of the test's own.
func mountIn(t *testing.T, dir string, change ...func(*Options)) *rig {
	t.Helper()
	r, err := newRig(dir)
	must(t, err)
	r.mount(t, change...)
	return r
}

func newRig(dir string) (*rig, error) {
	r := &rig{mnt: filepath.Join(dir, "mnt"), local: filepath.Join(dir, "scratch"), log: &logBuffer{}}
	r.blobs = newFakeBlobs(filepath.Join(dir, "blobs"))
	r.names = newFakeNames()
	var errs []error
	for _, d := range []string{r.mnt, r.local, r.blobs.dir} {
		errs = append(errs, os.MkdirAll(d, 0o755))
	}
	return r, errors.Join(errs...)
}

func (r *rig) options(change ...func(*Options)) Options {
	o := Options{
		Blobs: r.blobs, Names: r.names, Scratch: r.local, Umask: 0o022,
		Ample: func() bool { return true },
		UID:   uint32(os.Geteuid()), GID: uint32(os.Getegid()), lockWait: 100 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	return o
}

// daemonWrites has the daemon write all scratch.
func daemonWrites(o *Options) { o.Ample = nil }

// byBoth runs a test with scratch that the kernel writes itself, where it can, and with scratch that the daemon
// writes.
func byBoth(t *testing.T, test func(t *testing.T, kernel bool, r *rig)) {
	t.Run("the kernel writes", func(t *testing.T) {
		needRoot(t)
		test(t, true, testMount(t))
	})
	t.Run("the daemon writes", func(t *testing.T) { test(t, false, testMount(t, daemonWrites)) })
}

func (r *rig) mount(t *testing.T, change ...func(*Options)) {
	t.Helper()
	srv, err := Mount(t.Context(), r.mnt, r.options(change...))
	must(t, err)
	r.srv = srv
	t.Cleanup(func() { r.unmount(t) })
}

func (r *rig) unmount(t *testing.T) {
	t.Helper()
	if r.unended {
		return
	}
	inTime(t, "the end of the handles of blobs", r.blobs.awaitClosed) // it comes after close(2) has returned
	if err := r.srv.Unmount(); err != nil {
		t.Errorf("unmount: %v", err)
		_ = r.srv.Detach()
		return
	}
	if !r.panics && strings.Contains(r.log.String(), "unforeseen") {
		t.Errorf("a request panicked:\n%s", r.log)
	}
	if left := r.spooled(t); len(left) > 0 {
		t.Errorf("there is left of what was written anew: %v", left)
	}
}

// remount ends the mount and begins it anew over the same folders.
func (r *rig) remount(t *testing.T, change ...func(*Options)) {
	t.Helper()
	must(t, r.srv.Unmount())
	srv, err := Mount(t.Context(), r.mnt, r.options(change...))
	must(t, err)
	r.srv = srv
}

func (r *rig) path(elem ...string) string {
	return filepath.Join(append([]string{r.mnt}, elem...)...)
}

// blob is the path of a blob in the root layout, or in that of a scope.
func (r *rig) blob(d digest.Digest, scope ...string) string {
	return r.path(append(scope, "blobs", d.Algorithm().String(), d.Encoded())...)
}

// scratch lists the files that there are of scratch on local disk.
func (r *rig) scratch(t *testing.T) []string { return filesBelow(t, filepath.Join(r.local, "tree")) }

func (r *rig) spooled(t *testing.T) []string { return filesBelow(t, filepath.Join(r.local, "spool")) }

func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	must(t, filepath.WalkDir(dir, func(path string, e iofs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found = append(found, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	}))
	return found
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErrno fails unless err is that errno; 0 stands for none.
func wantErrno(t testing.TB, what string, err error, want syscall.Errno) {
	t.Helper()
	if want == 0 && err == nil {
		return
	}
	if !errors.Is(err, want) {
		t.Errorf("%s: %v; want %v", what, err, want)
	}
}

// randomly is content of n bytes that nothing else has.
func randomly(n int) []byte {
	b := make([]byte, n)
	seed := [32]byte{}
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

func put(t testing.TB, path string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(path, content, 0o644))
}

// beginLayout makes the directory of a layout, in which nothing is published yet.
func beginLayout(t testing.TB, dir string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755))
	for _, name := range []string{"index.json", "oci-layout"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY, 0o644)
		must(t, err)
		must(t, f.Close())
	}
}

// beginStore makes the directory of a content store, which asks for blobs.
func beginStore(t testing.TB, dir string) {
	t.Helper()
	beginLayout(t, dir)
	must(t, os.Mkdir(filepath.Join(dir, "ingest"), 0o755))
}

func wantContent(t testing.TB, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("read: %v", err)
		return
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes %.40q; want %d bytes %.40q", path, len(got), got, len(want), want)
	}
}

// wantBlob fails unless the pool has the blob, and the mount shows it.
func (r *rig) wantBlob(t testing.TB, content []byte) {
	t.Helper()
	d := digest.FromBytes(content)
	if !r.blobs.has(d) {
		t.Errorf("%s did not become a blob", d)
		return
	}
	wantContent(t, r.blob(d), content)
}

// wantNoBlob fails if the pool has the blob, or the mount shows something in its place.
func (r *rig) wantNoBlob(t testing.TB, d digest.Digest) {
	t.Helper()
	if r.blobs.has(d) {
		t.Errorf("%s became a blob", d)
	}
	_, err := os.Lstat(r.blob(d))
	wantErrno(t, "lstat "+d.String(), err, syscall.ENOENT)
}

func wantNames(t testing.TB, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s lists %q; want %q", dir, got, want)
	}
}

// shell runs a script with the mount's paths as $1, $2 and so on.
func shell(script string, args ...string) (said string, err error) {
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// mustShell fails the test if the script does.
func mustShell(t testing.TB, script string, args ...string) {
	t.Helper()
	if said, err := shell(script, args...); err != nil {
		t.Errorf("%s: %v: %s", script, err, said)
	}
}

// inTime fails the test if f takes longer than anything that works.
func inTime(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}

// needRoot skips what only root can try. The suite runs as root in CI, and TestAsPlainUser runs the rest
// of it once more as someone else.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can try this")
	}
}
