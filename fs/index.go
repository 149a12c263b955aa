package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"path"
	"slices"
	"sync"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// emptyIndex is the index.json of a directory that nothing was published in.
const emptyIndex = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`

// listing is the index.json of one layout, whichever node stands for it: one that is renamed onto it takes
// the node's place until the next lookup.
type listing struct {
	t     *tree
	scope string
	dir   *fusefs.Inode // of the layout
	queue *queue        // for its lock file

	mu     sync.Mutex // guards following; a leaf
	served []byte     // what was read last, or published from here
	mod    time.Time  // when that changed
	public bool       // it was published from here
	active int        // publications from here that are under way
	opened []sized    // open handles, oldest first
}

// sized is an open handle of index.json.
type sized interface{ size() int64 }

func newListing(t *tree, scope string, dir *fusefs.Inode) *listing {
	return &listing{t: t, scope: scope, dir: dir, queue: newQueue(), mod: t.born}
}

func (x *listing) what() string { return path.Join(x.scope, indexFile) }

// render asks for the index as it is now.
func (x *listing) render(ctx context.Context) ([]byte, error) {
	b, err := x.t.names.Index(ctx, x.scope)
	if errors.Is(err, iofs.ErrNotExist) {
		return []byte(emptyIndex), nil
	}
	return b, err
}

// serve notes what a client has read or written, which is what it will change next.
func (x *listing) serve(b []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Equal(x.served, b) {
		x.mod = time.Now()
	}
	x.served = b
}

// snapshot renders the index for a client that opens it.
func (x *listing) snapshot(ctx context.Context) ([]byte, error) {
	b, err := x.render(ctx)
	if err == nil {
		x.serve(b)
	}
	return b, err
}

// replace publishes an index that was written elsewhere and renamed into place. Its writer started from
// what it read here last, if it read anything.
func (x *listing) replace(ctx context.Context, after []byte) error {
	x.mu.Lock()
	before := x.served
	x.mu.Unlock()
	if before == nil {
		b, err := x.render(ctx)
		if err != nil {
			return err
		}
		before = b
	}
	return x.publish(ctx, before, after)
}

// publish goes on when the client is interrupted, which a Go program is all the time.
func (x *listing) publish(ctx context.Context, before, after []byte) error {
	x.publishes(1)
	defer x.publishes(-1)
	err := x.t.names.Publish(context.WithoutCancel(ctx), x.scope, before, after)
	if errors.Is(err, iofs.ErrNotExist) {
		x.t.outliveNames()
		return fmt.Errorf("%w: %s", syscall.EIO, err.Error()) // a blob is not there; index.json is
	}
	if err != nil {
		return err
	}
	x.t.writers.published(x.scope)
	x.release()
	x.serve(after)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.public = true
	return nil
}

func (x *listing) publishes(n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.active += n
}

// release lets the nodes go that lead to the index, as soon as the kernel forgets them: the bucket has it.
func (x *listing) release() {
	for dir := x.dir; dir != nil && !dir.IsRoot(); _, dir = dir.Parent() {
		dir.ForgetPersistent()
	}
}

// isPublished says whether the index was published from here, or is just now.
func (x *listing) isPublished() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.public || x.active > 0
}

func (x *listing) open(h sized) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.opened = append(x.opened, h)
}

func (x *listing) close(h sized) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if i := slices.Index(x.opened, h); i >= 0 {
		x.opened = slices.Delete(x.opened, i, i+1)
	}
}

// latest is the handle that was opened last. The kernel does not say which handle an fstat is about; it
// is most likely this one.
func (x *listing) latest() (sized, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.opened) == 0 {
		return nil, false
	}
	return x.opened[len(x.opened)-1], true
}

func (x *listing) modified() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mod
}

// index is the node of an index.json.
type index struct {
	fusefs.Inode
	*listing
}

var (
	_ fusefs.NodeGetattrer = (*index)(nil)
	_ fusefs.NodeSetattrer = (*index)(nil)
	_ fusefs.NodeOpener    = (*index)(nil)
	_ fusefs.NodeStatfser  = (*index)(nil)
)

// Getattr tells the length of the index as it is now, or as the client has it open.
func (n *index) Getattr(ctx context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if h, ok := n.latest(); ok {
		n.fill(&out.Attr, h.size())
		return 0
	}
	b, err := n.snapshot(ctx)
	if err != nil {
		return n.t.fail(ctx, "stat", n, err)
	}
	n.fill(&out.Attr, int64(len(b)))
	return 0
}

func (n *index) fill(a *fuse.Attr, size int64) {
	n.t.fill(a, syscall.S_IFREG|0o666, size, n.modified())
}

// Setattr truncates what a handle writes. Without a handle there is nothing that could be cut: EPERM.
// Permissions and times are accepted without effect.
func (n *index) Setattr(ctx context.Context, f fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		w, ok := f.(*indexWriter)
		if !ok {
			return syscall.EPERM
		}
		if errno := w.truncate(ctx, int64(size)); errno != 0 {
			return errno
		}
		n.fill(&out.Attr, w.size())
		return 0
	}
	return n.Getattr(ctx, f, out)
}

// Open takes a snapshot. The kernel does not cache it: the next open sees what was published since.
func (n *index) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	if cutsUnwritten(flags) {
		return nil, 0, syscall.EPERM
	}
	b, err := n.snapshot(ctx)
	if err != nil {
		return nil, 0, n.t.fail(ctx, "open", n, err)
	}
	if writing(flags) {
		w := newIndexWriter(n.listing, b, flags)
		n.open(w)
		return w, fuse.FOPEN_DIRECT_IO, 0
	}
	r := &indexReader{snapshot: snapshot{b}, listing: n.listing}
	n.open(r)
	return r, fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH, 0
}

// Statfs tells of the file system that scratch is on.
func (n *index) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	return n.t.statfs(out)
}

// indexReader is an index.json open for reading.
type indexReader struct {
	snapshot
	listing *listing
}

var _ fusefs.FileReleaser = (*indexReader)(nil)

func (r *indexReader) size() int64 { return int64(len(r.content)) }

// Release is the end of the handle.
func (r *indexReader) Release(context.Context) syscall.Errno {
	r.listing.close(r)
	return 0
}
