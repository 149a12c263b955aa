package sync

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	iofs "io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// memBucket is a bucket in memory. Every request passes fail first, which may refuse or delay it.
type memBucket struct {
	mu    sync.Mutex
	blobs map[digest.Digest]memBlob
	names map[string]bucket.Name
	calls map[string]int
	fail  func(ctx context.Context, verb, key string) error

	hides     bool            // as MinIO: listings leave out the name a/b when there is a
	signposts map[string]bool // but not these
	old       map[string]bool // listings are of before these names were written
}

type memBlob struct {
	b        []byte
	modified time.Time
}

func newMemBucket() *memBucket {
	return &memBucket{
		blobs: map[digest.Digest]memBlob{}, names: map[string]bucket.Name{}, calls: map[string]int{}, signposts: map[string]bool{},
	}
}

func (m *memBucket) request(ctx context.Context, verb, key string) error {
	m.mu.Lock()
	m.calls[verb]++
	fail := m.fail
	m.mu.Unlock()
	if fail != nil {
		return fail(ctx, verb, key)
	}
	return nil
}

// failing sets what requests meet; nil ends it.
func (m *memBucket) failing(f func(ctx context.Context, verb, key string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = f
}

func (m *memBucket) count(verb string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[verb]
}

func (m *memBucket) put(b []byte) digest.Digest { return m.putAs(digest.FromBytes(b), b, time.Now()) }

func (m *memBucket) putAs(d digest.Digest, b []byte, modified time.Time) digest.Digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blobs[d] = memBlob{b: bytes.Clone(b), modified: modified}
	return d
}

func (m *memBucket) remove(d digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.blobs, d)
}

func (m *memBucket) blob(d digest.Digest) (memBlob, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blobs[d]
	return b, ok
}

func (m *memBucket) name(name string) (bucket.Name, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.names[name]
	return n, ok
}

func (m *memBucket) StatBlob(ctx context.Context, d digest.Digest) (bucket.Object, error) {
	if err := m.request(ctx, "stat", string(d)); err != nil {
		return bucket.Object{}, err
	}
	b, ok := m.blob(d)
	if !ok {
		return bucket.Object{}, fmt.Errorf("head %s: %w", d, iofs.ErrNotExist)
	}
	return bucket.Object{Digest: d, Size: int64(len(b.b)), LastModified: b.modified}, nil
}

func (m *memBucket) OpenBlob(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	if err := m.request(ctx, "open", string(d)); err != nil {
		return nil, err
	}
	b, ok := m.blob(d)
	if !ok {
		return nil, fmt.Errorf("get %s: %w", d, iofs.ErrNotExist)
	}
	if n < 0 {
		n = int64(len(b.b)) - off
	}
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(b.b), off, n)), nil
}

func (m *memBucket) PutBlob(ctx context.Context, d digest.Digest, r io.ReaderAt, size int64) error {
	if err := m.request(ctx, "put", string(d)); err != nil {
		return err
	}
	b := make([]byte, size)
	if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
		return err
	}
	m.putAs(d, b, time.Now())
	return nil
}

func (m *memBucket) TouchBlob(ctx context.Context, d digest.Digest, _ int64) error {
	if err := m.request(ctx, "touch", string(d)); err != nil {
		return err
	}
	b, ok := m.blob(d)
	if !ok {
		return iofs.ErrNotExist
	}
	m.putAs(d, b.b, time.Now())
	return nil
}

func (m *memBucket) ListBlobs(ctx context.Context) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		if err := m.request(ctx, "list", ""); err != nil {
			yield(bucket.Object{}, err)
			return
		}
		m.mu.Lock()
		blobs := maps.Clone(m.blobs)
		m.mu.Unlock()
		for d, b := range blobs {
			if !yield(bucket.Object{Digest: d, Size: int64(len(b.b)), LastModified: b.modified}, nil) {
				return
			}
		}
	}
}

func (m *memBucket) GetNameUpTo(ctx context.Context, name string, limit int64) (bucket.Name, error) {
	if err := m.request(ctx, "getname", name); err != nil {
		return bucket.Name{}, err
	}
	n, ok := m.name(name)
	if !ok {
		return bucket.Name{}, fmt.Errorf("get name %q: %w", name, iofs.ErrNotExist)
	}
	if int64(len(n.Body)) > limit {
		return bucket.Name{}, fmt.Errorf("get name %q: %w", name, bucket.ErrLargeName)
	}
	return n, nil
}

func (m *memBucket) PutName(ctx context.Context, name string, body []byte, d *ocispec.Descriptor) error {
	if err := m.request(ctx, "putname", name); err != nil {
		return err
	}
	sum := md5.Sum(body)
	v := bucket.Version{ETag: hex.EncodeToString(sum[:]), LastModified: time.Now(), Size: int64(len(body))}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names[name] = bucket.Name{
		NameEntry: bucket.NameEntry{Name: name, Version: v}, Body: bytes.Clone(body), Descriptor: d,
	}
	return nil
}

func (m *memBucket) EnsureListed(ctx context.Context, name string) error {
	if err := m.request(ctx, "ensurelisted", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signposts[name] = true
	return nil
}

// lists says whether listings show a name.
func (m *memBucket) lists(name string) bool {
	if m.old[name] {
		return false
	}
	return !m.hides || m.signposts[name] || !isBeneath(name, func(above string) bool { _, ok := m.names[above]; return ok })
}

func (m *memBucket) DeleteName(ctx context.Context, name string) error {
	if err := m.request(ctx, "deletename", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.names, name)
	return nil
}

func (m *memBucket) ListNames(ctx context.Context, prefix string) iter.Seq2[bucket.NameEntry, error] {
	return func(yield func(bucket.NameEntry, error) bool) {
		if err := m.request(ctx, "listnames", prefix); err != nil {
			yield(bucket.NameEntry{}, err)
			return
		}
		m.mu.Lock()
		names := maps.Clone(m.names)
		maps.DeleteFunc(names, func(name string, _ bucket.Name) bool { return !m.lists(name) })
		m.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if strings.HasPrefix(name, prefix) && !yield(names[name].NameEntry, nil) {
				return
			}
		}
	}
}
