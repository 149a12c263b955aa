package fs

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// scarce is an Admit that has only so much.
type scarce struct {
	mu    sync.Mutex // guards following
	left  int64
	cause error
}

func (m *scarce) admit(n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n <= 0 {
		return fmt.Errorf("asked for %d bytes", n)
	}
	if n > m.left {
		return m.cause
	}
	m.left -= n
	return nil
}

func (m *scarce) want(t testing.TB, what string, left int64) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left != left {
		t.Errorf("%s: there is room for %d bytes; want %d", what, m.left, left)
	}
}

func withRoom(t *testing.T, n int64) (*rig, *scarce) {
	t.Helper()
	m := &scarce{left: n, cause: errors.New("the disk is full")}
	return testMount(t, func(o *Options) { o.Admit, o.Ample = m.admit, nil }), m
}

func TestScratchIsAdmittedByWhatItGrows(t *testing.T) {
	r, m := withRoom(t, 100_000)
	f := openFile(t, r.path("file"), os.O_CREATE|os.O_RDWR)
	for _, step := range []struct {
		what string
		do   func() error
		left int64
	}{
		{"write", func() error { _, err := f.WriteAt(make([]byte, 10_000), 0); return err }, 90_000},
		{"write over", func() error { _, err := f.WriteAt(make([]byte, 10_000), 0); return err }, 90_000},
		{"write beyond", func() error { _, err := f.WriteAt(make([]byte, 10_000), 15_000); return err }, 75_000},
		{"stretch", func() error { return f.Truncate(50_000) }, 50_000},
		{"fill the hole", func() error { _, err := f.WriteAt(make([]byte, 25_000), 25_000); return err }, 50_000},
		{"cut", func() error { return f.Truncate(10) }, 50_000},
		{"reserve", func() error { return unix.Fallocate(int(f.Fd()), 0, 0, 10_010) }, 40_000},
		{"punch", func() error {
			return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20)
		}, 40_000},
		{"stretch by name", func() error { return os.Truncate(r.path("file"), 20_010) }, 30_000},
	} {
		wantErrno(t, step.what, step.do(), 0)
		m.want(t, step.what, step.left)
	}
	must(t, f.Close())
}

func TestNoRoomIsENOSPC(t *testing.T) {
	r, m := withRoom(t, 10_000)
	f := openFile(t, r.path("file"), os.O_CREATE|os.O_RDWR)
	content := randomly(10_000)
	_, err := f.Write(content)
	must(t, err)
	_, err = f.Write([]byte("x"))
	wantErrno(t, "write", err, syscall.ENOSPC)
	wantErrno(t, "ftruncate", f.Truncate(10_001), syscall.ENOSPC)
	wantErrno(t, "truncate", os.Truncate(r.path("file"), 10_001), syscall.ENOSPC)
	wantErrno(t, "fallocate", unix.Fallocate(int(f.Fd()), 0, 0, 10_001), syscall.ENOSPC)
	must(t, f.Close())
	wantContent(t, r.path("file"), content)
	m.mu.Lock()
	m.cause = fmt.Errorf("too much for this user: %w", syscall.EDQUOT)
	m.mu.Unlock()
	wantErrno(t, "write of more than is allowed", os.WriteFile(r.path("other"), content, 0o644), syscall.EDQUOT)
	must(t, os.Rename(r.path("file"), r.blob(digest.FromBytes(content))))
	r.wantBlob(t, content)
}

func TestRewriteOfABlobIsAdmitted(t *testing.T) {
	r, m := withRoom(t, 15_000)
	content := randomly(10_000)
	d := r.blobs.add(t, content)
	must(t, os.WriteFile(r.blob(d), content, 0o644))
	m.want(t, "one rewrite", 5000)
	wantErrno(t, "another", os.WriteFile(r.blob(d), content, 0o644), syscall.ENOSPC)
	r.wantBlob(t, content)
}

// While the kernel writes, room is made ahead of it. Who used up what is to stay free is told by fsync and close, and
// what is opened then is written by the daemon.
func TestRoomBehindTheKernel(t *testing.T) {
	needRoot(t)
	m := &scarce{left: 1 << 40, cause: errors.New("the disk is full")}
	asked := make(chan struct{}, 1000)
	var ample atomic.Bool
	ample.Store(true)
	r := testMount(t, func(o *Options) {
		o.Ample = ample.Load
		o.Admit = func(n int64) error {
			asked <- struct{}{}
			return m.admit(n)
		}
	})
	f := openFile(t, r.path("file"), os.O_CREATE|os.O_RDWR)
	idle := openFile(t, r.path("idle"), os.O_CREATE|os.O_RDWR)
	<-asked // by nobody's write
	_, err := f.Write(randomly(10_000))
	must(t, err)
	must(t, f.Sync())
	m.mu.Lock()
	m.left = 0
	m.mu.Unlock()
	ample.Store(false)
	wantErrno(t, "fsync", f.Sync(), syscall.ENOSPC)
	wantErrno(t, "close", f.Close(), syscall.ENOSPC)
	must(t, idle.Close()) // which took nothing
	r.wantKernel(t, "closed", 0)
	wantErrno(t, "write", os.WriteFile(r.path("other"), []byte("x"), 0o644), syscall.ENOSPC)
	must(t, os.Truncate(r.path("file"), 0))
}
