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

// guard stands before the bucket: it counts requests, remembers the last failure, and has requests wait
// for the end of an outage, or answers in the bucket's place.
type guard struct {
	blobs   BlobBucket
	names   NameBucket
	offline bool
	watch   *watch

	requests atomic.Int64
	errors   atomic.Int64

	mu   sync.Mutex // guards following; a leaf
	last *Failure
}

// newGuard begins with a bucket that is taken to answer. ended is told of the end of each outage.
func newGuard(ctx context.Context, o Options, ended func()) *guard {
	g := &guard{blobs: o.Blobs, names: o.Names, offline: o.Offline}
	g.watch = &watch{ctx: ctx, ended: ended, patience: o.Patience, probe: func(ctx context.Context) error {
		g.requests.Add(1)
		_, err := g.blobs.StatBlob(ctx, nothing)
		return err
	}}
	return g
}

// report remembers a failure.
func (g *guard) report(err error) {
	g.errors.Add(1)
	g.note(err)
}

// note remembers a failure that was counted where it came up, if it came from here.
func (g *guard) note(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = &Failure{Time: time.Now(), Text: err.Error()}
}

func (g *guard) state() (up bool, last *Failure) {
	up = g.up()
	g.mu.Lock()
	defer g.mu.Unlock()
	return up, g.last
}

// up says whether the bucket answers, as far as is known.
func (g *guard) up() bool { return !g.offline && g.watch.now() == nil }

// patiently makes a request that an outage may delay. What is asked for must bear being asked for again.
func patiently[T any](ctx context.Context, g *guard, request func(context.Context) (T, error)) (v T, err error) {
	ctx = bucket.StallsOnce(ctx)
	for range patientTries {
		if err := g.await(ctx); err != nil {
			return v, err
		}
		if v, err = once(ctx, g, request); !errors.Is(err, bucket.ErrUnreachable) {
			break
		}
	}
	return v, err
}

func (g *guard) await(ctx context.Context) error {
	if g.offline {
		return errOffline
	}
	return g.watch.await(ctx)
}

// hastily makes a request that fails at once in an outage: somebody holds a lock meanwhile.
func hastily[T any](ctx context.Context, g *guard, request func(context.Context) (T, error)) (v T, err error) {
	if err := g.admit(); err != nil {
		return v, err
	}
	return once(ctx, g, request)
}

// admit says whether a request may be made now.
func (g *guard) admit() error {
	if g.offline {
		return errOffline
	}
	if o := g.watch.now(); o != nil {
		return g.watch.said(o)
	}
	return nil
}

func once[T any](ctx context.Context, g *guard, request func(context.Context) (T, error)) (T, error) {
	g.requests.Add(1)
	v, err := request(ctx)
	return v, g.seen(ctx, err)
}

func (g *guard) seen(ctx context.Context, err error) error {
	err = g.watch.seen(ctx, err)
	if errors.Is(err, bucket.ErrUnreachable) {
		g.note(err)
	}
	return err
}

func (g *guard) StatBlob(ctx context.Context, d digest.Digest) (bucket.Object, error) {
	return patiently(ctx, g, func(ctx context.Context) (bucket.Object, error) { return g.blobs.StatBlob(ctx, d) })
}

func (g *guard) OpenBlob(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	return patiently(ctx, g, func(ctx context.Context) (io.ReadCloser, error) { return g.blobs.OpenBlob(ctx, d, off, n) })
}

func (g *guard) PutBlob(ctx context.Context, d digest.Digest, r io.ReaderAt, size int64) error {
	_, err := patiently(ctx, g, func(ctx context.Context) (struct{}, error) { return struct{}{}, g.blobs.PutBlob(ctx, d, r, size) })
	return err
}

// putAhead is not tried again: PutBlob does all that it did not do.
func (g *guard) putAhead(ctx context.Context, to AheadBucket, d digest.Digest, r io.ReaderAt, size int64, written <-chan int64) error {
	_, err := hastily(ctx, g, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, to.PutAhead(ctx, d, r, size, written)
	})
	return err
}

func (g *guard) TouchBlob(ctx context.Context, d digest.Digest, size int64) error {
	_, err := patiently(ctx, g, func(ctx context.Context) (struct{}, error) { return struct{}{}, g.blobs.TouchBlob(ctx, d, size) })
	return err
}

func (g *guard) ListBlobs(ctx context.Context) iter.Seq2[bucket.Object, error] {
	return listed(ctx, g, g.blobs.ListBlobs(ctx))
}

func (g *guard) GetNameUpTo(ctx context.Context, name string, limit int64) (bucket.Name, error) {
	return hastily(ctx, g, func(ctx context.Context) (bucket.Name, error) { return g.names.GetNameUpTo(ctx, name, limit) })
}

func (g *guard) PutName(ctx context.Context, name string, body []byte, d *ocispec.Descriptor) error {
	_, err := patiently(ctx, g, func(ctx context.Context) (struct{}, error) { return struct{}{}, g.names.PutName(ctx, name, body, d) })
	return err
}

func (g *guard) EnsureListed(ctx context.Context, name string) error {
	_, err := hastily(ctx, g, func(ctx context.Context) (struct{}, error) { return struct{}{}, g.names.EnsureListed(ctx, name) })
	return err
}

func (g *guard) DeleteName(ctx context.Context, name string) error {
	_, err := patiently(ctx, g, func(ctx context.Context) (struct{}, error) { return struct{}{}, g.names.DeleteName(ctx, name) })
	return err
}

func (g *guard) ListNames(ctx context.Context, prefix string) iter.Seq2[bucket.NameEntry, error] {
	return listed(ctx, g, g.names.ListNames(ctx, prefix))
}

// listed passes a listing on under the guard, hastily; its pages count as one request.
func listed[T any](ctx context.Context, g *guard, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err := g.admit(); err != nil {
			var zero T
			yield(zero, err)
			return
		}
		g.requests.Add(1)
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
