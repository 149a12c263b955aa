package fs

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// mapping is a file mapped into the memory of another process, shared: one that serves a mount cannot use
// memory that is mapped from it, since Linux may keep its threads waiting for what only they can answer.
type mapping struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.WriteCloser
	asks *json.Encoder
	says *json.Decoder
}

// asked is what that process is to do: to set bytes, to write them to the file, or neither.
type asked struct {
	Off  int
	Set  []byte
	Sync bool
}

// said is what the memory has then.
type said struct {
	Digest digest.Digest
	Errno  unix.Errno // of writing it to the file
}

// mapEnv names the file that this process maps, instead of testing; mapWriteEnv says that it is for writing.
const (
	mapEnv      = "LAYOUTFS_TEST_MAP"
	mapWriteEnv = "LAYOUTFS_TEST_MAP_WRITE"
)

// mapForOthers is the other process.
func mapForOthers(path string, writes bool) error {
	flags, prot := os.O_RDONLY, unix.PROT_READ
	if writes {
		flags, prot = os.O_RDWR, unix.PROT_READ|unix.PROT_WRITE
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), prot, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	asks, says := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var what asked
		if err := asks.Decode(&what); err != nil {
			return nil // the end of standard input is the end of the test
		}
		var answer said
		copy(mem[what.Off:], what.Set)
		if what.Sync {
			_ = errors.As(unix.Msync(mem, unix.MS_SYNC), &answer.Errno)
		}
		answer.Digest = digest.FromBytes(mem)
		if err := says.Encode(answer); err != nil {
			return err
		}
	}
}

func mapFile(t testing.TB, path string) *mapping { return startMapping(t, mapEnv+"="+path) }

func mapFileForWriting(t testing.TB, path string) *mapping {
	return startMapping(t, mapEnv+"="+path, mapWriteEnv+"=1")
}

func startMapping(t testing.TB, env ...string) *mapping {
	t.Helper()
	m := &mapping{t: t, cmd: exec.Command("/proc/self/exe")}
	m.cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), env...)
	m.cmd.Stderr = os.Stderr
	in, err := m.cmd.StdinPipe()
	must(t, err)
	out, err := m.cmd.StdoutPipe()
	must(t, err)
	m.in, m.asks, m.says = in, json.NewEncoder(in), json.NewDecoder(out)
	must(t, m.cmd.Start())
	m.ask(asked{})
	return m
}

func (m *mapping) ask(what asked) (answer said) {
	m.t.Helper()
	must(m.t, m.asks.Encode(what))
	if err := m.says.Decode(&answer); err != nil {
		m.t.Fatalf("the process that maps a file does not answer: %v", err)
	}
	return answer
}

// want fails unless the memory has that content.
func (m *mapping) want(content []byte) {
	m.t.Helper()
	if got := m.ask(asked{}).Digest; got != digest.FromBytes(content) {
		m.t.Error("the mapped memory has other bytes")
	}
}

// set writes to the memory; it becomes part of the file at some time.
func (m *mapping) set(off int, b []byte) {
	m.t.Helper()
	m.ask(asked{Off: off, Set: b})
}

// sync writes what was set to the file.
func (m *mapping) sync() error {
	m.t.Helper()
	if errno := m.ask(asked{Sync: true}).Errno; errno != 0 {
		return errno
	}
	return nil
}

func (m *mapping) end() {
	m.t.Helper()
	must(m.t, m.in.Close())
	must(m.t, m.cmd.Wait())
}
