package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// sickDisk is a file system that hands on to a folder what it is asked for, and has some calls fail with EIO: one, or
// all of a kind for a while. It is served by a process of its own: one that
// waits for itself cannot be ended.
type sickDisk struct {
	dir string // where it is mounted
	on  string // a file: calls fail while it is there
	p   *process
}

// sickEnv has this program serve a sick disk, in place of testing: the folder, and the seed of its choices.
const sickEnv = "LAYOUTFS_TEST_SICK_DISK"

const (
	sickOneIn = 100                    // calls
	sickLong  = 10                     // one in so many failures lasts
	sickFor   = 300 * time.Millisecond // so long
)

// newSickDisk mounts one on a folder of its own.
func newSickDisk(t testing.TB, seed uint64) *sickDisk {
	t.Helper()
	dir, err := os.MkdirTemp("", "layoutfs-sick-")
	must(t, err)
	for _, name := range []string{"mnt", "below"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	d := &sickDisk{dir: filepath.Join(dir, "mnt"), on: filepath.Join(dir, "on")}
	d.p, err = startProcess(dir, []string{fmt.Sprintf("%s=%d:%s", sickEnv, seed, dir)}, os.Args[0])
	must(t, err)
	t.Cleanup(func() {
		if err := unix.Unmount(d.dir, 0); err != nil {
			t.Errorf("unmount %s: %v", d.dir, err)
		}
		d.p.stop()
		_ = unix.Unmount(d.dir, unix.MNT_DETACH) // it may not be mounted
		must(t, os.RemoveAll(dir))
	})
	must(t, d.p.awaitUp(func() bool { return strings.Contains(d.p.log(), sickUp) }))
	return d
}

const sickUp = "the disk is mounted"

// fail has calls fail from now on, or no more.
func (d *sickDisk) fail(t testing.TB, on bool) {
	t.Helper()
	if on {
		must(t, os.WriteFile(d.on, nil, 0o644))
	} else {
		must(t, os.Remove(d.on))
	}
}

// failures counts the calls that failed, by kind.
func (d *sickDisk) failures() map[string]int {
	n := map[string]int{}
	for line := range strings.Lines(d.p.log()) {
		if kind, ok := strings.CutPrefix(strings.TrimSpace(line), "EIO: "); ok {
			n[kind]++
		}
	}
	return n
}

// serveSickDisk is what the process does.
func serveSickDisk(order string) error {
	text, dir, _ := strings.Cut(order, ":")
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return err
	}
	s := &sickness{on: filepath.Join(dir, "on"), r: rand.New(rand.NewPCG(seed, 5)), until: map[string]time.Time{}}
	root, err := fusefs.NewLoopbackRoot(filepath.Join(dir, "below"))
	if err != nil {
		return err
	}
	remember := time.Second
	server, err := fusefs.Mount(filepath.Join(dir, "mnt"), &sickNode{root.(*fusefs.LoopbackNode), s}, &fusefs.Options{
		EntryTimeout: &remember, AttrTimeout: &remember, NullPermissions: true,
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "sick", DisableXAttrs: true},
	})
	if err != nil {
		return err
	}
	fmt.Println(sickUp)
	server.Wait()
	return nil
}

// sickness decides which calls fail.
type sickness struct {
	on string

	mu    sync.Mutex // guards following
	r     *rand.Rand
	until map[string]time.Time // all calls of a kind fail
}

// fails says whether a call is to fail.
func (s *sickness) fails(kind string) bool {
	if _, err := os.Stat(s.on); err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.After(s.until[kind]) {
		if s.r.IntN(sickOneIn) > 0 {
			return false
		}
		if s.r.IntN(sickLong) == 0 {
			s.until[kind] = now.Add(sickFor)
		}
	}
	fmt.Println("EIO: " + kind)
	return true
}

// sickNode is a file or directory of it.
type sickNode struct {
	*fusefs.LoopbackNode
	s *sickness
}

var _ fusefs.NodeWrapChilder = (*sickNode)(nil)

func (n *sickNode) WrapChild(_ context.Context, ops fusefs.InodeEmbedder) fusefs.InodeEmbedder {
	return &sickNode{ops.(*fusefs.LoopbackNode), n.s}
}

func (n *sickNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	if n.s.fails("create") {
		return nil, nil, 0, syscall.EIO
	}
	inode, fh, flags, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, n.file(fh), flags, errno
}

func (n *sickNode) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	if n.s.fails("open") {
		return nil, 0, syscall.EIO
	}
	fh, flags, errno := n.LoopbackNode.Open(ctx, flags)
	return n.file(fh), flags, errno
}

func (n *sickNode) file(fh fusefs.FileHandle) fusefs.FileHandle {
	if fh == nil {
		return nil
	}
	return &sickFile{fh.(*fusefs.LoopbackFile), n.s}
}

func (n *sickNode) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if n.s.fails("mkdir") {
		return nil, syscall.EIO
	}
	return n.LoopbackNode.Mkdir(ctx, name, mode, out)
}

func (n *sickNode) Unlink(ctx context.Context, name string) syscall.Errno {
	if n.s.fails("unlink") {
		return syscall.EIO
	}
	return n.LoopbackNode.Unlink(ctx, name)
}

func (n *sickNode) Rename(ctx context.Context, name string, to fusefs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if n.s.fails("rename") {
		return syscall.EIO
	}
	return n.LoopbackNode.Rename(ctx, name, to, newName, flags)
}

// Fsync is that of a directory.
func (n *sickNode) Fsync(ctx context.Context, fh fusefs.FileHandle, flags uint32) syscall.Errno {
	if f, ok := fh.(*sickFile); ok {
		return f.Fsync(ctx, flags)
	}
	if n.s.fails("fsync of a folder") {
		return syscall.EIO
	}
	return 0
}

// CopyFileRange is left to the kernel, which reads and writes.
func (n *sickNode) CopyFileRange(context.Context, fusefs.FileHandle, uint64, *fusefs.Inode, fusefs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}

// sickFile is an open file of it.
type sickFile struct {
	*fusefs.LoopbackFile
	s *sickness
}

func (f *sickFile) Read(ctx context.Context, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if f.s.fails("read") {
		return nil, syscall.EIO
	}
	return f.LoopbackFile.Read(ctx, p, off)
}

func (f *sickFile) Write(ctx context.Context, p []byte, off int64) (uint32, syscall.Errno) {
	if f.s.fails("write") {
		return 0, syscall.EIO
	}
	return f.LoopbackFile.Write(ctx, p, off)
}

func (f *sickFile) Writev(ctx context.Context, data [][]byte, off int64) (uint32, syscall.Errno) {
	if f.s.fails("write") {
		return 0, syscall.EIO
	}
	return f.LoopbackFile.Writev(ctx, data, off)
}

func (f *sickFile) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	if f.s.fails("fsync") {
		return syscall.EIO
	}
	return f.LoopbackFile.Fsync(ctx, flags)
}

func (f *sickFile) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	if f.s.fails("fallocate") {
		return syscall.EIO
	}
	return f.LoopbackFile.Allocate(ctx, off, size, mode)
}

// PassthroughFd keeps the kernel from going past all this.
func (f *sickFile) PassthroughFd() (int, bool) { return -1, false }
