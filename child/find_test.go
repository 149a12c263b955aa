package child

import (
	"io"
	"os"
	"strings"
	"testing"
)

// TestFind knows a process while it is there, and that there is no other: who sent a signal to none would send it to its own group.
func TestFind(t *testing.T) {
	cmd, err := waits.Command()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil { // it has its name
		t.Fatal(err)
	}
	if pid, err := Find(os.Getpid(), "layoutfs-waits"); pid != cmd.Process.Pid || err != nil {
		t.Errorf("found %d, not %d: %v", pid, cmd.Process.Pid, err)
	}
	if pid, err := Find(os.Getpid(), "layoutfs-echo"); pid != 0 || err == nil || !strings.Contains(err.Error(), "has started no layoutfs-echo") {
		t.Errorf("found %d, %v", pid, err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}
