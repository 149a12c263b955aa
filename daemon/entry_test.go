package daemon

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOneDaemonPerMountpoint(t *testing.T) {
	dir := t.TempDir()
	e, err := claim(dir, "/mnt/a")
	if err != nil {
		t.Fatal(err)
	}
	_, err = claim(dir, "/mnt/a")
	if mounted, ok := errors.AsType[*MountedError](err); !ok || mounted.PID != os.Getpid() {
		t.Fatalf("a second claim: %v", err)
	}
	if err := e.release(); err != nil {
		t.Fatal(err)
	}
	again, err := claim(dir, "/mnt/a")
	if err != nil {
		t.Fatalf("after a release: %v", err)
	}
	if err := again.release(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// leaveDead makes what a killed daemon leaves: a socket that nobody listens on, and a file that nobody locks.
func leaveDead(t *testing.T, dir, mountpoint string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socketPath(dir, mountpoint), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if err := os.WriteFile(entryPath(dir, mountpoint), []byte(`{"pid":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDeadDaemonsAreTakenOver(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(runtimeDirEnv, dir)
	leaveDead(t, dir, "/mnt/a")
	if _, err := Find("/mnt/a"); !errors.Is(err, ErrNotMounted) {
		t.Errorf("a dead daemon is found: %v", err)
	}
	e, err := claim(dir, "/mnt/a")
	if err != nil {
		t.Fatal(err)
	}
	l, err := e.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(e.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	if _, err := Find("/mnt/a"); err != nil {
		t.Errorf("a living daemon: %v", err)
	}
}

// The control socket obeys whoever reaches it: nobody else may, whatever the umask and whatever was there.
func TestNobodyElseReachesTheSocket(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir, err := makeRuntimeDir([]string{filepath.Join(t.TempDir(), "run")})
	if err != nil {
		t.Fatal(err)
	}
	e, err := claim(dir, "/mnt/a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.release() }()
	l, err := e.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, want := range map[string]os.FileMode{
		dir: os.ModeDir | 0o700, e.socket: os.ModeSocket | 0o600, entryPath(dir, "/mnt/a"): 0o600,
	} {
		if info, err := os.Lstat(path); err != nil || info.Mode() != want {
			t.Errorf("%s is %v, want %v (%v)", path, info.Mode(), want, err)
		}
	}
}

func TestEntryIsNoLinkToAnothersFile(t *testing.T) {
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o600), os.Symlink(victim, entryPath(dir, "/mnt/a"))); err != nil {
		t.Fatal(err)
	}
	if _, err := claim(dir, "/mnt/a"); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("got %v", err)
	}
	if err := sweep(dir); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("it holds %q, %v", b, err)
	}
}

func TestSocketPathThatIsTooLong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	e, err := claim(dir, "/mnt/a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.release() }()
	if _, err := e.listen(); err == nil || !strings.Contains(err.Error(), "choose another place with $"+runtimeDirEnv) {
		t.Errorf("got %v", err)
	}
}

func TestSweepSparesTheLiving(t *testing.T) {
	dir := t.TempDir()
	leaveDead(t, dir, "/mnt/dead")
	alive, err := claim(dir, "/mnt/alive")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = alive.release() }()
	if err := sweep(dir); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 1 || left[0] != entryPath(dir, "/mnt/alive") {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestRuntimeDirectoryIsPrivate(t *testing.T) {
	open, link, good := filepath.Join(t.TempDir(), "open"), filepath.Join(t.TempDir(), "link"), filepath.Join(t.TempDir(), "a/b")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777), os.Symlink(t.TempDir(), link)); err != nil {
		t.Fatal(err)
	}
	got, err := makeRuntimeDir([]string{open, link, good})
	if err != nil || got != good {
		t.Errorf("got %s, %v, want %s", got, err, good)
	}
	if _, err := makeRuntimeDir([]string{open}); err == nil {
		t.Error("anybody may write there")
	}
}
