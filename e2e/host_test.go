package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// host is a machine with a mount: a cache directory, a mountpoint and a daemon of its own.
type host struct {
	t     testing.TB
	csv   string
	flags []string
	cache string
	mnt   string
	run   string // where the control socket is
	pid   int
}

// newHost mounts a bucket on a machine with an empty disk.
func newHost(t testing.TB, c bucket.Config, flags ...string) *host {
	t.Helper()
	return newHostFor(t, csv(c), flags...)
}

func newHostFor(t testing.TB, csv string, flags ...string) *host {
	t.Helper()
	return newHostOn(t, "", csv, flags...)
}

// newHostOn mounts with a cache directory on a disk of the test's.
func newHostOn(t testing.TB, cache, csv string, flags ...string) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "layoutfs-host-") // short: it holds a socket
	must(t, err)
	h := &host{
		t: t, csv: csv, flags: flags,
		cache: cmp.Or(cache, filepath.Join(dir, "cache")), mnt: filepath.Join(dir, "mnt"), run: filepath.Join(dir, "run"),
	}
	must(t, os.Mkdir(h.mnt, 0o755))
	t.Cleanup(func() {
		h.end()
		must(t, os.RemoveAll(dir))
	})
	h.mount()
	return h
}

// end takes the mount down, whatever state it is in; a report of the race detector fails the test.
func (h *host) end() {
	if _, err := h.try("umount", "--force", "--timeout", "30s", h.mnt); err != nil {
		if err := syscall.Unmount(h.mnt, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			h.t.Errorf("unmount %s: %v", h.mnt, err)
		}
	}
	if h.t.Failed() {
		h.t.Logf("log of %s:\n%s", h.mnt, h.log())
	}
	h.checkRaces()
}

func (h *host) checkRaces() {
	h.t.Helper()
	if _, race, found := cutAtRace(h.log()); found {
		h.t.Errorf("the daemon has a data race:\n%s", race)
	}
}

func (h *host) log() string {
	b, _ := os.ReadFile(filepath.Join(h.cache, "log"))
	return string(b)
}

// try runs layoutfs on this machine.
func (h *host) try(args ...string) (string, error) {
	h.t.Helper()
	cmd := exec.Command(layoutfs, args...)
	cmd.Env = append(os.Environ(), "LAYOUTFS_RUNTIME_DIR="+h.run, "LAYOUTFS_S3="+h.csv)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// do runs a command of layoutfs that must succeed.
func (h *host) do(args ...string) string {
	h.t.Helper()
	out, err := h.try(args...)
	if err != nil {
		h.t.Fatalf("layoutfs %v: %v\n%s\nlog:\n%s", args, err, out, h.log())
	}
	return out
}

func (h *host) mount() {
	h.t.Helper()
	args := append([]string{"mount", "-d", "--cache-dir", h.cache, "--log-level", "info"}, h.flags...)
	h.do(append(args, h.mnt)...)
	h.pid = h.status().PID
}

func (h *host) umount() {
	h.t.Helper()
	h.do("umount", h.mnt)
}

// kill ends the daemon as a crash does, and waits until it is gone.
func (h *host) kill() {
	h.t.Helper()
	must(h.t, syscall.Kill(h.pid, syscall.SIGKILL))
	awaitGone(h.t, h.pid)
}

// remount unmounts and mounts again, with what is on local disk.
func (h *host) remount() {
	h.t.Helper()
	h.umount()
	h.mount()
}

func (h *host) status() daemon.Status {
	h.t.Helper()
	var s daemon.Status
	must(h.t, json.Unmarshal([]byte(h.do("status", "--format", "json", h.mnt)), &s))
	return s
}

// path is a path in the mount.
func (h *host) path(elem ...string) string {
	return filepath.Join(append([]string{h.mnt}, elem...)...)
}
