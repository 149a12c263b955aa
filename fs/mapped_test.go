package fs

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// mapping is a file mapped into memory, shared. It is used by system calls alone: a page fault would stop
// a thread where the Go runtime cannot, and this process serves the mount as well.
type mapping struct {
	t   testing.TB
	mem []byte
	aid int // a file to copy from and to
}

func mapFile(t testing.TB, path string, prot int) *mapping {
	t.Helper()
	flags := os.O_RDONLY
	if prot&unix.PROT_WRITE != 0 {
		flags = os.O_RDWR
	}
	f := openFile(t, path, flags)
	defer f.Close()
	return mapOpen(t, f, prot)
}

func mapOpen(t testing.TB, f *os.File, prot int) *mapping {
	t.Helper()
	info, err := f.Stat()
	must(t, err)
	mem, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), prot, unix.MAP_SHARED)
	must(t, err)
	aid, err := unix.MemfdCreate("mapping", unix.MFD_CLOEXEC)
	must(t, err)
	return &mapping{t: t, mem: mem, aid: aid}
}

// want fails unless the memory has that content.
func (m *mapping) want(content []byte) {
	m.t.Helper()
	got := make([]byte, len(m.mem))
	if _, err := unix.Pwrite(m.aid, m.mem, 0); err != nil {
		m.t.Errorf("read mapped memory: %v", err)
		return
	}
	_, err := unix.Pread(m.aid, got, 0)
	must(m.t, err)
	if !bytes.Equal(got, content) {
		m.t.Error("the mapped memory has other bytes")
	}
}

// set writes to the memory; it becomes part of the file at some time.
func (m *mapping) set(off int, b []byte) {
	m.t.Helper()
	_, err := unix.Pwrite(m.aid, b, 0)
	must(m.t, err)
	_, err = unix.Pread(m.aid, m.mem[off:off+len(b)], 0)
	must(m.t, err)
}

// sync writes what was set to the file.
func (m *mapping) sync() error { return unix.Msync(m.mem, unix.MS_SYNC) }

func (m *mapping) end() {
	m.t.Helper()
	must(m.t, unix.Munmap(m.mem))
	must(m.t, unix.Close(m.aid))
}
