package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"iter"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// Objects is what Bucket asks of the bucket.
type Objects interface {
	ListNames(ctx context.Context, prefix string) iter.Seq2[bucket.NameEntry, error]
	GetName(ctx context.Context, name string) (bucket.Name, error)
	ListBlobs(ctx context.Context) iter.Seq2[bucket.Object, error]
	StatBlob(ctx context.Context, d digest.Digest) (bucket.Object, error)
	OpenBlob(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error)
}

var _ Objects = (*bucket.Client)(nil)

// asksNames is how many name objects are read at once.
const asksNames = 32

// Bucket is a bucket without a mount. Of a name that a type=s3 client wrote, manifest and config are
// synthesised, to the same bytes that a mount shows.
type Bucket struct {
	objects Objects

	mu    sync.Mutex               // guards following; a leaf
	made  map[digest.Digest]maker  // documents that can be synthesised
	docs  map[digest.Digest][]byte // some of them, as they are
	bytes int                      // of docs
}

// maker is the name of whose CacheConfig a document is made, and its size.
type maker struct {
	name string
	size int64
}

// maxDocs bounds the synthesised documents that are kept, in bytes. They are usually read right after their name.
const maxDocs = 32 << 20

// NewBucket reads a bucket.
func NewBucket(o Objects) *Bucket {
	return &Bucket{objects: o, made: map[digest.Digest]maker{}, docs: map[digest.Digest][]byte{}}
}

// Names implements inspect.Source. It reads the name objects, several at a time.
func (b *Bucket) Names(ctx context.Context) iter.Seq2[inspect.Name, error] {
	return func(yield func(inspect.Name, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		found := make(chan inspect.Name)
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(asksNames)
		failed := make(chan error, 1)
		go func() {
			err := b.readAll(gctx, group, found)
			failed <- errors.Join(err, group.Wait())
			close(found)
		}()
		for n := range found {
			if !yield(n, nil) {
				cancel()
				for range found { // the readers end
				}
				return
			}
		}
		if err := <-failed; err != nil {
			yield(inspect.Name{}, err)
		}
	}
}

// readAll begins to read each name that is listed. A name that is gone meanwhile is passed over.
func (b *Bucket) readAll(ctx context.Context, group *errgroup.Group, found chan<- inspect.Name) error {
	seen := map[string]bool{}
	for e, err := range b.objects.ListNames(ctx, "") {
		if err != nil {
			return err
		}
		if seen[e.Name] {
			continue
		}
		seen[e.Name] = true
		group.Go(func() error {
			n, err := b.read(ctx, e.Name)
			if errors.Is(err, iofs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			n.Updated = e.Version.LastModified
			select {
			case found <- n:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}
	return nil
}

// Name implements inspect.Source.
func (b *Bucket) Name(ctx context.Context, name string) (inspect.Name, error) {
	return b.read(ctx, name)
}

func (b *Bucket) read(ctx context.Context, name string) (inspect.Name, error) {
	obj, err := b.objects.GetName(ctx, name)
	if err != nil {
		return inspect.Name{}, err
	}
	n := inspect.Name{Name: name, Updated: obj.Version.LastModified}
	if obj.Descriptor != nil {
		n.Descriptor = *obj.Descriptor
		return n, nil
	}
	layout, err := cacheconfig.Import(obj.Body)
	if err != nil {
		n.Broken = err.Error()
		return n, nil
	}
	b.remember(name, layout.Manifest, layout.Config)
	n.Descriptor, n.Closure, n.Synthetic = layout.Descriptor, layout.Closure, true
	return n, nil
}

// remember keeps the documents of a name, as long as there is room.
func (b *Bucket) remember(name string, docs ...[]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, doc := range docs {
		d := digest.FromBytes(doc)
		b.made[d] = maker{name, int64(len(doc))}
		if _, ok := b.docs[d]; ok {
			continue
		}
		if b.bytes+len(doc) > maxDocs {
			clear(b.docs)
			b.bytes = 0
		}
		b.docs[d] = doc
		b.bytes += len(doc)
	}
}

func (b *Bucket) recall(d digest.Digest) (doc []byte, of maker, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	of, ok = b.made[d]
	return b.docs[d], of, ok
}

// synthesised is a document that is made of a name; ok is false if d is none.
func (b *Bucket) synthesised(ctx context.Context, d digest.Digest) (doc []byte, ok bool, err error) {
	doc, of, ok := b.recall(d)
	if !ok || doc != nil {
		return doc, ok, nil
	}
	if _, err := b.read(ctx, of.name); err != nil {
		return nil, true, err
	}
	if doc, _, _ = b.recall(d); doc == nil {
		return nil, true, fmt.Errorf("read blob %s: name %q was written anew since: %w", d, of.name, iofs.ErrNotExist)
	}
	return doc, true, nil
}

// Blobs implements inspect.Source.
func (b *Bucket) Blobs(ctx context.Context) iter.Seq2[inspect.Blob, error] {
	return func(yield func(inspect.Blob, error) bool) {
		for o, err := range b.objects.ListBlobs(ctx) {
			if !yield(inBucket(o), err) || err != nil {
				return
			}
		}
	}
}

func inBucket(o bucket.Object) inspect.Blob {
	return inspect.Blob{Digest: o.Digest, Size: o.Size, In: inspect.Bucket, Modified: o.LastModified}
}

// Stat implements inspect.Source.
func (b *Bucket) Stat(ctx context.Context, d digest.Digest) (inspect.Blob, error) {
	if _, of, ok := b.recall(d); ok {
		return inspect.Blob{Digest: d, Size: of.size, In: inspect.Made}, nil
	}
	o, err := b.objects.StatBlob(ctx, d)
	return inBucket(o), err
}

// Open implements inspect.Source.
func (b *Bucket) Open(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	doc, ok, err := b.synthesised(ctx, d)
	if err != nil {
		return nil, err
	}
	if ok {
		return document(ctx, doc, d, off, n)
	}
	return b.objects.OpenBlob(ctx, d, off, n)
}
