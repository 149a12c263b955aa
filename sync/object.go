package sync

import (
	"context"
	"errors"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

const (
	// smallName is the most that one of several name objects may have that are read at once, in bytes. Nearly all
	// have less; the others are read one at a time. What is made of an object takes several times its size, so
	// without that a few names that an attacker wrote would take all memory.
	smallName = 1 << 20
	// smallNames is how many of them are read and understood at once.
	smallNames = asksNames
)

// objects bounds the memory that name objects and manifests take.
type objects struct {
	small, large chan struct{} // places, for names
	manifests    chan struct{} // one, for manifests of more than smallName
}

func newObjects() objects {
	return objects{small: make(chan struct{}, smallNames), large: make(chan struct{}, 1), manifests: make(chan struct{}, 1)}
}

// alone has who reads a large manifest of the bucket wait until nobody else does. It must not be called by who does.
func (o objects) alone(ctx context.Context, size int64) (release func(), err error) {
	if size <= smallName {
		return func() {}, nil
	}
	if !take(ctx, o.manifests) {
		return nil, context.Cause(ctx)
	}
	return func() { <-o.manifests }, nil
}

// object reads a name object. Its body is used until release.
func (e *Engine) object(ctx context.Context, name string) (obj bucket.Name, release func(), err error) {
	if obj, release, err = e.objectIn(ctx, name, smallName, e.objects.small); errors.Is(err, bucket.ErrLargeName) {
		obj, release, err = e.objectIn(ctx, name, bucket.MaxNameSize, e.objects.large)
	}
	return obj, release, err
}

func (e *Engine) objectIn(ctx context.Context, name string, limit int64, places chan struct{}) (bucket.Name, func(), error) {
	if !take(ctx, places) {
		return bucket.Name{}, nil, context.Cause(ctx)
	}
	release := func() { <-places }
	obj, err := e.guard.GetNameUpTo(ctx, name, limit)
	if err != nil {
		release()
		return bucket.Name{}, nil, err
	}
	return obj, release, nil
}
