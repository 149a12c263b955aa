package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
)

// errMismatch is what the fake says of content that is not what its name promises.
var errMismatch = errors.New("the content has another digest")

// errListing is what a listing breaks off with.
var errListing = errors.New("the bucket does not answer")

// fakeBlobs keeps blobs in a folder, checked as the engine checks them.
type fakeBlobs struct {
	dir     string
	partial atomic.Bool  // opens have no file that the kernel could read
	badFd   atomic.Bool  // opens have a file that the kernel does not take
	anew    atomic.Bool  // what was there before was wrong
	commits atomic.Int64 // that succeeded
	reads   atomic.Int64 // through the daemon

	mu        sync.Mutex // guards following
	size      map[digest.Digest]int64
	opened    int                      // and not closed
	closed    *sync.Cond               // told when there are fewer
	hidden    map[string]digest.Digest // by scope: left out of listings
	failAfter int                      // so many blobs that are listed
	onCommit  func(path string, d digest.Digest) error
	onRead    func(ctx context.Context) error
}

func newFakeBlobs(dir string) *fakeBlobs {
	b := &fakeBlobs{dir: dir, size: map[digest.Digest]int64{}, hidden: map[string]digest.Digest{}}
	b.closed = sync.NewCond(&b.mu)
	return b
}

// count notes that blobs were opened or closed.
func (b *fakeBlobs) count(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened += n
	b.closed.Broadcast()
}

// awaitClosed waits until no blob is open.
func (b *fakeBlobs) awaitClosed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.opened > 0 {
		b.closed.Wait()
	}
}

func (b *fakeBlobs) file(d digest.Digest) string { return filepath.Join(b.dir, d.Encoded()) }

// add puts a blob into the pool, as another host or scope does.
func (b *fakeBlobs) add(t *testing.T, content []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(content)
	if err := os.WriteFile(b.file(d), content, 0o600); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size[d] = int64(len(content))
	return d
}

// know makes a blob known that is never read.
func (b *fakeBlobs) know(d digest.Digest, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size[d] = size
}

// hide keeps a blob from being listed in a layout.
func (b *fakeBlobs) hide(scope string, d digest.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hidden[scope] = d
}

// failListing makes listings fail after n blobs; 0: not any more.
func (b *fakeBlobs) failListing(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failAfter = n
}

func (b *fakeBlobs) content(t *testing.T, d digest.Digest) []byte {
	t.Helper()
	if !b.has(d) {
		t.Fatalf("there is no blob %s", d)
	}
	content, err := os.ReadFile(b.file(d))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func (b *fakeBlobs) has(d digest.Digest) bool {
	_, err := b.Stat(context.Background(), d)
	return err == nil
}

func (b *fakeBlobs) whenCommitting(f func(path string, d digest.Digest) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onCommit = f
}

func (b *fakeBlobs) whenReading(f func(ctx context.Context) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onRead = f
}

func (b *fakeBlobs) Stat(_ context.Context, d digest.Digest) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size, ok := b.size[d]
	if !ok {
		return 0, fmt.Errorf("stat blob %s: %w", d, iofs.ErrNotExist)
	}
	return size, nil
}

func (b *fakeBlobs) Open(ctx context.Context, d digest.Digest) (Blob, error) {
	size, err := b.Stat(ctx, d)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(b.file(d))
	if err != nil {
		return nil, err
	}
	b.count(1)
	r := fakeReader{b: b, f: f, size: size}
	if b.partial.Load() {
		return &r, nil
	}
	return &fakeFile{r}, nil
}

func (b *fakeBlobs) Commit(ctx context.Context, path string, d digest.Digest) error {
	b.mu.Lock()
	hook := b.onCommit
	b.mu.Unlock()
	if hook != nil {
		if err := hook(path, d); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if d.Algorithm().FromBytes(content) != d {
		return fmt.Errorf("commit %s: %w", d, errMismatch)
	}
	if err := os.Rename(path, b.file(d)); err != nil {
		return err
	}
	b.commits.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size[d] = int64(len(content))
	return nil
}

func (b *fakeBlobs) Forget(ctx context.Context, d digest.Digest) error {
	if _, err := b.Stat(ctx, d); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.size, d)
	if err := os.Remove(b.file(d)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return nil
}

func (b *fakeBlobs) All(ctx context.Context, scope string) iter.Seq2[digest.Digest, error] {
	b.mu.Lock()
	defer b.mu.Unlock()
	all, hidden, failAfter := slices.Sorted(maps.Keys(b.size)), b.hidden[scope], b.failAfter
	return func(yield func(digest.Digest, error) bool) {
		for i, d := range all {
			if failAfter > 0 && i >= failAfter {
				yield("", errListing)
				return
			}
			if d != hidden && !yield(d, ctx.Err()) {
				return
			}
		}
	}
}

type fakeReader struct {
	b    *fakeBlobs
	f    *os.File
	size int64
}

func (r *fakeReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	r.b.mu.Lock()
	hook := r.b.onRead
	r.b.mu.Unlock()
	r.b.reads.Add(1)
	if hook != nil {
		if err := hook(ctx); err != nil {
			return 0, err
		}
	}
	return r.f.ReadAt(p, off)
}

func (r *fakeReader) Size() int64 { return r.size }

func (r *fakeReader) Anew() bool { return r.b.anew.Load() }

func (r *fakeReader) Close() error {
	r.b.count(-1)
	return r.f.Close()
}

type fakeFile struct{ fakeReader }

func (r *fakeFile) PassthroughFd() (int, bool) {
	if r.b.badFd.Load() {
		return -1, true
	}
	return int(r.f.Fd()), true
}

var _ Blobs = (*fakeBlobs)(nil)
