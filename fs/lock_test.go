package fs

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"testing"
)

// holder is another process that has a file locked.
type holder struct {
	cmd *exec.Cmd
	in  io.Closer
}

// hold locks a file in another process, shared (-s) or exclusively (-x), without waiting.
func hold(t *testing.T, path, kind string) *holder {
	t.Helper()
	cmd := exec.Command("flock", "-n", "-F", kind, path, "sh", "-c", "echo held; exec cat")
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "held\n" {
		t.Fatalf("the holder of %s says %q, %v", path, said, err)
	}
	return &holder{cmd: cmd, in: in}
}

func (h *holder) release(t *testing.T) {
	t.Helper()
	must(t, h.in.Close())
	must(t, h.cmd.Wait())
}

// tryLock says whether another process can lock the file.
func tryLock(path, kind string) bool {
	return exec.Command("flock", "-n", kind, path, "true").Run() == nil
}

// BuildKit locks index.json.lock for an export and cache.lock for as long as it runs, without waiting, and fails
// when it cannot.
func TestLocksBetweenProcesses(t *testing.T) {
	r := testMount(t)
	must(t, os.Mkdir(r.path("app"), 0o755))
	for _, path := range []string{r.path("index.json.lock"), r.path("cache.lock"), r.path("app", "index.json.lock")} {
		for _, tc := range []struct {
			held, tried string
			want        bool
		}{{"-s", "-s", true}, {"-s", "-x", false}, {"-x", "-s", false}, {"-x", "-x", false}} {
			h := hold(t, path, tc.held)
			if got := tryLock(path, tc.tried); got != tc.want {
				t.Errorf("%s: %s while %s is held: %t", path, tc.tried, tc.held, got)
			}
			if !tryLock(r.path("another.lock"), "-x") {
				t.Errorf("%s: another file is locked, too", path)
			}
			h.release(t)
			if !tryLock(path, "-x") {
				t.Errorf("%s: it is still locked after the holder has ended", path)
			}
		}
	}
	if r.blobs.commits.Load() > 0 || len(r.names.publications()) > 0 {
		t.Error("lock files reached the bucket")
	}
}

// BuildKit removes index.json.lock after use; a lock ends with its holder, be he killed.
func TestLockFileIsRemovedWhileItIsHeld(t *testing.T) {
	r := testMount(t)
	path := r.path("index.json.lock")
	h := hold(t, path, "-x")
	must(t, os.RemoveAll(path))
	if !tryLock(path, "-x") {
		t.Error("a new lock file is locked by the holder of the removed one")
	}
	h.release(t)
	killed := hold(t, path, "-x")
	must(t, killed.cmd.Process.Kill())
	_ = killed.cmd.Wait() // it says that it was killed
	if !tryLock(path, "-x") {
		t.Error("a killed process holds its lock")
	}
}
