package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// errOffline is the answer to every request under --offline.
var errOffline = fmt.Errorf("%w: --offline is set", bucket.ErrUnreachable)

// pause is how long nothing is asked of a bucket that did not answer. Without it a build whose bucket
// is gone would wait for a timeout at each of its blobs.
const pause = 3 * time.Second

// guard stands before the bucket: it counts requests, remembers the last failure, and answers in the
// bucket's place for a while after it did not answer.
type guard struct {
	blobs   BlobBucket
	names   NameBucket
	offline bool

	requests atomic.Int64
	errors   atomic.Int64

	mu    sync.Mutex // guards following; a leaf: nothing is called under it
	until time.Time  // ask nothing before
	down  error      // what was said of it
	last  *Failure
}

// admit says whether a request may be made now.
func (g *guard) admit() error {
	if g.offline {
		return errOffline
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down != nil && time.Now().Before(g.until) {
		return g.down
	}
	g.requests.Add(1)
	return nil
}

// seen takes the outcome of a request. A caller that gave up says nothing about the bucket, one whose
// deadline passed does.
func (g *guard) seen(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	unreachable := errors.Is(err, bucket.ErrUnreachable)
	if err != nil && !unreachable && ctx.Err() != nil {
		err, unreachable = fmt.Errorf("%w: %w", bucket.ErrUnreachable, err), true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !unreachable {
		g.down = nil
		return err
	}
	g.down, g.until = err, time.Now().Add(pause)
	g.last = &Failure{Time: time.Now(), Text: err.Error()}
	return err
}

// report remembers a failure that was not a matter of one request.
func (g *guard) report(err error) {
	g.errors.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = &Failure{Time: time.Now(), Text: err.Error()}
}

func (g *guard) state() (up bool, last *Failure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.offline && g.down == nil, g.last
}

// asked makes one request under the guard.
func asked[T any](ctx context.Context, g *guard, request func() (T, error)) (T, error) {
	if err := g.admit(); err != nil {
		var zero T
		return zero, err
	}
	v, err := request()
	return v, g.seen(ctx, err)
}

func (g *guard) StatBlob(ctx context.Context, d digest.Digest) (bucket.Object, error) {
	return asked(ctx, g, func() (bucket.Object, error) { return g.blobs.StatBlob(ctx, d) })
}

func (g *guard) OpenBlob(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	return asked(ctx, g, func() (io.ReadCloser, error) { return g.blobs.OpenBlob(ctx, d, off, n) })
}

func (g *guard) PutBlob(ctx context.Context, d digest.Digest, r io.ReaderAt, size int64) error {
	_, err := asked(ctx, g, func() (struct{}, error) { return struct{}{}, g.blobs.PutBlob(ctx, d, r, size) })
	return err
}

func (g *guard) TouchBlob(ctx context.Context, d digest.Digest, size int64) error {
	_, err := asked(ctx, g, func() (struct{}, error) { return struct{}{}, g.blobs.TouchBlob(ctx, d, size) })
	return err
}

func (g *guard) ListBlobs(ctx context.Context) iter.Seq2[bucket.Object, error] {
	return listed(ctx, g, g.blobs.ListBlobs(ctx))
}

func (g *guard) GetName(ctx context.Context, name string) (bucket.Name, error) {
	return asked(ctx, g, func() (bucket.Name, error) { return g.names.GetName(ctx, name) })
}

func (g *guard) PutName(ctx context.Context, name string, body []byte, d *ocispec.Descriptor) error {
	_, err := asked(ctx, g, func() (struct{}, error) { return struct{}{}, g.names.PutName(ctx, name, body, d) })
	return err
}

func (g *guard) DeleteName(ctx context.Context, name string) error {
	_, err := asked(ctx, g, func() (struct{}, error) { return struct{}{}, g.names.DeleteName(ctx, name) })
	return err
}

func (g *guard) ListNames(ctx context.Context, prefix string) iter.Seq2[bucket.NameEntry, error] {
	return listed(ctx, g, g.names.ListNames(ctx, prefix))
}

// listed passes a listing on under the guard; its pages count as one request.
func listed[T any](ctx context.Context, g *guard, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err := g.admit(); err != nil {
			var zero T
			yield(zero, err)
			return
		}
		for v, err := range seq {
			if !yield(v, g.seen(ctx, err)) {
				return
			}
		}
	}
}

var (
	_ BlobBucket = (*guard)(nil)
	_ NameBucket = (*guard)(nil)
)
