package fs

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// backing registers the local files that the kernel reads and writes itself (FUSE passthrough).
//
// This is not left to go-fuse's FilePassthroughFder: its count per node is lowered by the release of
// every handle, whether it raised it or not, so that an identifier can be given up while an open that
// uses it is on its way to the kernel; and one failure turns it off for the whole mount silently.
type backing struct {
	server *fuse.Server
	off    string // why there is none; written before the mount serves
	writes bool   // the kernel may write scratch; written before the mount serves

	mu     sync.Mutex                // guards following; a leaf
	opened map[<-chan struct{}]int32 // what an open under way answers, by the channel that interrupts it
}

func newBacking() *backing {
	return &backing{off: "the mount does not serve yet", opened: map[<-chan struct{}]int32{}}
}

// probe finds out whether the kernel takes backing files, with one from the folder that will hold them.
func (b *backing) probe(server *fuse.Server, folder string) {
	b.server = server
	b.off = ""
	if server.KernelSettings().Flags64()&fuse.CAP_PASSTHROUGH == 0 {
		b.off = "the kernel has no FUSE passthrough (Linux 6.9 or later with CONFIG_FUSE_PASSTHROUGH has)"
		return
	}
	if err := b.try(folder); err != nil {
		b.off = err.Error()
	}
}

func (b *backing) try(folder string) error {
	f, err := os.CreateTemp(folder, "passthrough-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return err
	}
	return onFile(f.Name(), os.O_RDONLY, b.tryFile)
}

// tryFile tries a file that nobody has open for writing. Whether that can be told depends on the file system: not
// every one has leases, and an overlay does not know who has mapped the files below.
func (b *backing) tryFile(f *os.File) error {
	id, err := b.register(int(f.Fd()))
	if errors.Is(err, syscall.EPERM) {
		return errors.New("only root may use FUSE passthrough")
	}
	if err != nil {
		return err
	}
	depth, err := stackDepth(f.Name())
	b.writes = err == nil && depth == 1 && unwritten(f)
	return b.unregister(id)
}

// register makes the file behind fd known to the kernel.
func (b *backing) register(fd int) (int32, error) {
	id, errno := b.server.RegisterBackingFd(&fuse.BackingMap{Fd: int32(fd)})
	if errno != 0 {
		return 0, fmt.Errorf("register a file for FUSE passthrough: %w", errno)
	}
	return id, nil
}

func (b *backing) unregister(id int32) error {
	if errno := b.server.UnregisterBackingFd(id); errno != 0 {
		return fmt.Errorf("give up a file of FUSE passthrough: %w", errno)
	}
	return nil
}

// answer keeps the identifier that the open with that interrupt channel is to be answered with: nodes
// return no more than flags.
func (b *backing) answer(request <-chan struct{}, id int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened[request] = id
}

func (b *backing) take(request <-chan struct{}) (int32, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id, ok := b.opened[request]
	delete(b.opened, request)
	return id, ok
}

// bridge is go-fuse's bridge to the nodes; it adds to the answer of an open the backing file.
type bridge struct {
	fuse.RawFileSystem
	backing *backing
}

// Open answers with what the node says, and its backing file.
func (b *bridge) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	status := b.RawFileSystem.Open(cancel, in, out)
	b.add(cancel, out)
	return status
}

// Create answers with what the directory says, and the backing file of the new one.
func (b *bridge) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	status := b.RawFileSystem.Create(cancel, in, name, out)
	b.add(cancel, &out.OpenOut)
	return status
}

func (b *bridge) add(cancel <-chan struct{}, out *fuse.OpenOut) {
	if id, ok := b.backing.take(cancel); ok {
		out.BackingID = id
		out.OpenFlags |= fuse.FOPEN_PASSTHROUGH
	}
}

// stackDepth is how many file systems lie on each other beneath the mount: the local one, which may be
// an overlay on another.
func stackDepth(folder string) (int, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, fmt.Errorf("examine the file system of %s: %w", folder, err)
	}
	if st.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return 2, nil
	}
	return 1, nil
}
