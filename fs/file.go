package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"sync"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/opencontainers/go-digest"
)

// file is a regular file: scratch, and from its commit on a blob. The kernel keeps the node over the
// rename that commits it, and comes back to the same one for the chtimes and chmod that follow.
type file struct {
	fusefs.Inode
	t     *tree
	at    place // of scratch; guarded by t.moves
	draft draft // of scratch

	mu         sync.Mutex    // guards following
	digest     digest.Digest // of a blob, or what is being made one
	size       int64         // of a blob, in bytes
	writers    int           // handles open for writing scratch
	left       chan struct{} // closed when there are none any more
	modes      modes
	unverified bool // the kernel may have pages of a blob that was incomplete
	superseded bool // the next lookup of its name is to find another node; this one is not opened any more
	private    bool // one rewriter's
}

var (
	_ fusefs.NodeGetattrer = (*file)(nil)
	_ fusefs.NodeSetattrer = (*file)(nil)
	_ fusefs.NodeOpener    = (*file)(nil)
	_ fusefs.NodeStatfser  = (*file)(nil)
)

func newScratch(t *tree, in folder, name string) *file {
	return &file{t: t, at: place{in: in, name: name}}
}

func newBlob(t *tree, in folder, d digest.Digest, size int64, private bool) *file {
	return &file{
		t: t, at: place{in: in, name: d.Encoded()}, draft: draft{gate: gate{phase: committed}},
		digest: d, size: size, private: private,
	}
}

// shows says whether the node stands for that blob.
func (n *file) shows(d digest.Digest) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.digest == d && !n.superseded && !n.private && n.draft.gate.now() != open
}

// what names the file in messages.
func (n *file) what() string {
	return n.Path(nil)
}

func (n *file) digestNow() digest.Digest {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.digest
}

// Getattr describes scratch as it is on local disk, and a blob as far as it is known.
func (n *file) Getattr(_ context.Context, f fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if n.draft.gate.now() != open {
		out.SetTimeout(blobTTL)
		n.fillBlob(&out.Attr)
		if r, ok := f.(*rewriter); ok {
			return r.fill(&out.Attr)
		}
		return 0
	}
	out.SetTimeout(scratchTTL)
	if h, ok := f.(*scratchHandle); ok {
		return h.fill(&out.Attr)
	}
	err := n.t.stat(&n.at, &out.Attr)
	if errors.Is(err, iofs.ErrNotExist) && n.draft.gate.now() != open {
		n.fillBlob(&out.Attr)
		return 0
	}
	return n.t.fail(context.Background(), "stat", n, err)
}

func (n *file) fillBlob(a *fuse.Attr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.t.dates.tell(n.digest)
	n.t.fill(a, syscall.S_IFREG|0o666, n.size, at.mod)
	a.Ino = n.StableAttr().Ino // go-fuse tells it for all requests but one that sets attributes
	a.SetTimes(&at.access, nil, nil)
}

// Setattr changes scratch. Of a blob nothing changes but the times of one that was written here, but clients
// that set its times or permissions do not expect to fail; another size is refused.
func (n *file) Setattr(ctx context.Context, f fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if errno := n.truncate(ctx, f, int64(size)); errno != 0 {
			return errno
		}
	}
	if n.draft.gate.now() == open {
		if errno := n.setScratch(ctx, f, in); errno != 0 {
			return errno
		}
	} else {
		n.t.dates.change(n.digestNow(), timesOf(in))
	}
	return n.Getattr(ctx, f, out)
}

func (n *file) truncate(ctx context.Context, f fusefs.FileHandle, size int64) syscall.Errno {
	if r, ok := f.(*rewriter); ok {
		return r.truncate(ctx, size)
	}
	inside, err := n.draft.gate.enter(ctx)
	if err != nil {
		return errnoOf(ctx, err)
	}
	if !inside {
		return n.truncateBlob(size)
	}
	defer n.draft.gate.leave()
	cut := func(f *os.File) error { return n.t.truncate(f, &n.draft, size) }
	if h, ok := f.(*scratchHandle); ok && h.writes {
		return errnoOf(ctx, h.change(cut))
	}
	return errnoOf(ctx, n.t.at(&n.at, func(path string) error { return onFile(path, os.O_WRONLY, cut) }))
}

// truncate cuts or stretches the file of a draft. What it is stretched by is room that is used later.
func (t *tree) truncate(f *os.File, d *draft, size int64) error {
	if errno := t.admit(f, size); errno != 0 {
		return errno
	}
	err := f.Truncate(size)
	if err == nil {
		d.truncated(size)
	}
	return err
}

// truncateBlob lets a blob be cut to the size that it has.
func (n *file) truncateBlob(size int64) syscall.Errno {
	n.mu.Lock()
	defer n.mu.Unlock()
	if size != n.size {
		return syscall.EPERM
	}
	return 0
}

// setScratch applies permissions and times to scratch. The owner is that of the whole mount.
func (n *file) setScratch(ctx context.Context, f fusefs.FileHandle, in *fuse.SetAttrIn) syscall.Errno {
	set := func(f *os.File) error { return setMeta(f, in, 0o600) }
	if h, ok := f.(*scratchHandle); ok {
		return errnoOf(ctx, set(h.f))
	}
	if _, ok := in.GetMode(); !ok && !timesOf(in).given() {
		return 0
	}
	return errnoOf(ctx, n.t.at(&n.at, func(path string) error { return onFile(path, os.O_RDONLY, set) }))
}

// Open opens the file for what it is now; while it is being made a blob, that is waited for.
func (n *file) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	for {
		p, err := n.draft.gate.wait(ctx)
		if err != nil {
			return nil, 0, errnoOf(ctx, err)
		}
		if p == committed {
			return n.openBlob(ctx, flags)
		}
		h, err := n.openScratch(ctx, flags)
		switch {
		case err == nil:
			n.announce(h)
			return h, 0, n.cut(ctx, h, flags)
		case errors.Is(err, errCommits):
			continue
		case errors.Is(err, errGone):
			return nil, 0, syscall.ESTALE // who has O_CREAT makes another one, as on any file system
		case n.draft.gate.now() == open:
			return nil, 0, n.t.fail(ctx, "open", n, err)
		}
	}
}

// cut empties what was opened with O_TRUNC, which the kernel leaves to us (CAP_ATOMIC_O_TRUNC): asked
// for afterwards, it would come without the handle that it is about.
func (n *file) cut(ctx context.Context, h fusefs.FileReleaser, flags uint32) syscall.Errno {
	if flags&syscall.O_TRUNC == 0 {
		return 0
	}
	errno := n.truncate(ctx, h, 0)
	if errno != 0 {
		_ = h.Release(ctx) // the kernel does not release what it did not get
	}
	return errno
}

func (n *file) openScratch(ctx context.Context, flags uint32) (h *scratchHandle, err error) {
	end := n.turn()
	defer func() {
		if err != nil {
			end()
		}
	}()
	err = n.t.at(&n.at, func(path string) error {
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
		if err == nil {
			h, err = newScratchHandle(ctx, n, f, flags, end)
		}
		return err
	})
	return h, err
}

func (n *file) turn() (end func()) {
	n.t.moves.RLock()
	at := n.at
	n.t.moves.RUnlock()
	return n.t.turn(at.in, at.name)
}

// Statfs tells of the file system that scratch is on.
func (n *file) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	return n.t.statfs(out)
}

func (t *tree) statfs(out *fuse.StatfsOut) syscall.Errno {
	var st syscall.Statfs_t
	if err := syscall.Statfs(t.root, &st); err != nil {
		return t.fail(context.Background(), "statfs", localPath(t.root), err)
	}
	out.FromStatfsT(&st)
	return 0
}

// adopt takes on what a blob will show that is made of a local file.
func (n *file) adopt(d digest.Digest, path string) error {
	st, err := lstat(path)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.digest, n.size = d, st.Size
	n.t.dates.begin(d)
	return nil
}
