package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/index/tag"
)

var errNotPermitted = iofs.ErrPermission

// Publish applies what a writer changed between two versions of an index.json, name by name, so that
// the changes of other hosts stay. Tags that it dropped stay in the bucket unless deleting is allowed.
// A writer that changed nothing has put again what it put last: an export that gave the same cache as
// the one before. Its blobs must not expire for that, so that name is published anew.
func (e *Engine) Publish(ctx context.Context, scope string, before, after []byte) error {
	was, err := e.entries(before)
	if err != nil {
		return fmt.Errorf("publish to the layout %q: %w", scope, err)
	}
	is, err := e.entries(after)
	if err != nil {
		return fmt.Errorf("publish to the layout %q: %w", scope, err)
	}
	changes := diff(was, is)
	if last, ok := is.last(); ok && len(changes) == 0 {
		changes = []change{{key: last, desc: is.by[last]}}
	}
	for _, c := range changes {
		for _, name := range e.tags.Of(scope, c.key) {
			if err := e.apply(ctx, name, c); err != nil {
				return e.refuse(fmt.Errorf("publish name %q: %w", name, err))
			}
		}
	}
	return nil
}

// entries reads an index.json. A manifest that stands for another one, of which blobs are gone, is taken
// for that one: nobody wants to publish it in its place.
func (e *Engine) entries(b []byte) (entries, error) {
	es, err := parseIndex(b)
	for key, d := range es.by {
		if whole, _, ok := e.catalog.standsFor(d.Digest); ok {
			d.Digest, d.Size = whole.Digest, whole.Size
			es.by[key] = d
		}
	}
	return es, err
}

func (e *Engine) apply(ctx context.Context, name string, c change) error {
	switch {
	case c.removed && e.o.AllowDelete:
		return e.deleteName(ctx, name)
	case c.tagged:
		e.retire(ctx, name)
		return nil
	case c.removed:
		if early, err := e.withdraw(name); early || err != nil {
			return err
		}
		e.log.Info("a tag was dropped; its name stays in the bucket", "name", name)
		return nil
	}
	desc := tag.Stored(c.desc)
	err := e.acknowledge(ctx, name, desc)
	if errors.Is(err, errNotYet) {
		return e.publishWhenThere(name, desc, err)
	}
	return err
}

// retire deletes the name of an entry that had no tag and has one now. oras pushes a manifest so; a name for
// each of its pushes would stay. What it reached is reached by the tag.
func (e *Engine) retire(ctx context.Context, name string) {
	if !e.guard.up() {
		return // it does not matter enough to wait
	}
	if err := e.deleteName(ctx, name); err != nil {
		e.log.Warn("a name that a tag has replaced stays in the bucket", "name", name, "err", err)
	}
}

// acknowledge publishes; under write back, and when the bucket fails and that is to be ignored, it keeps what is
// to be published.
func (e *Engine) acknowledge(ctx context.Context, name string, desc ocispec.Descriptor) error {
	if e.o.WriteBack {
		return e.publishLater(ctx, name, desc)
	}
	err := e.publishNow(ctx, name, desc)
	if e.ignores(err) {
		return e.publishLater(ctx, name, desc)
	}
	return err
}

func (e *Engine) publishNow(ctx context.Context, name string, desc ocispec.Descriptor) error {
	release, err := e.turns.take(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	return e.publish(ctx, name, desc)
}

// publish writes a name object, when the closure of its descriptor is in the bucket. It is the caller's
// turn with that name. Which version that made is not known: the next listing shows the name as changed,
// and it is read.
func (e *Engine) publish(ctx context.Context, name string, desc ocispec.Descriptor) error {
	b, closure, err := e.read(ctx, desc)
	if err != nil {
		return err
	}
	if !e.isSettled(desc.Digest) {
		old, err := e.ensure(ctx, closure)
		if err != nil {
			return err
		}
		// Not waited for: the client may hold the lock of index.json meanwhile.
		e.background.send(func() { e.touchLater(old) })
		e.settle(desc.Digest)
	}
	body, err := e.body(ctx, b)
	if err != nil {
		return err
	}
	if err := e.guard.PutName(ctx, name, body, &desc); err != nil {
		return err
	}
	for _, n := range e.catalog.nested(name) {
		e.ensureListed(ctx, n)
	}
	e.published.Add(1)
	e.log.Info("name published", "name", name, "manifest", desc.Digest, "blobs", len(closure))
	return e.learn(index.Name{Name: name, Descriptor: desc, Closure: closure})
}

// read reads what an index.json names, and its closure.
func (e *Engine) read(ctx context.Context, desc ocispec.Descriptor) (b []byte, closure []ocispec.Descriptor, err error) {
	release, err := e.objects.alone(ctx, desc.Size)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if b, err = e.readBlob(ctx, desc); err == nil {
		closure, err = e.closureOf(ctx, desc, b)
	}
	if errors.Is(err, iofs.ErrNotExist) {
		err = e.nowhere(desc.Digest)
	}
	return b, closure, err
}

// closureOf is walk for whatever an index.json may name: what is no manifest is its own closure.
func (e *Engine) closureOf(ctx context.Context, desc ocispec.Descriptor, b []byte) ([]ocispec.Descriptor, error) {
	if int64(len(b)) != desc.Size {
		return nil, fmt.Errorf("%s has %d bytes, but its descriptor says %d", desc.Digest, len(b), desc.Size)
	}
	if _, err := cacheconfig.ParseManifest(b); err != nil {
		return []ocispec.Descriptor{bare(desc)}, nil
	}
	return e.walk(ctx, desc, b)
}

// notCache is the body of the name object of anything that is no BuildKit cache: type=s3 reads it as
// an empty cache.
var notCache = []byte("{}")

// body is what a type=s3 client is to read under the name.
func (e *Engine) body(ctx context.Context, manifest []byte) ([]byte, error) {
	m, err := cacheconfig.ParseManifest(manifest)
	if err != nil || !m.IsCache() {
		return bytes.Clone(notCache), nil
	}
	config, err := e.readBlob(ctx, *m.Config)
	if err != nil {
		return nil, err
	}
	return cacheconfig.Export(m, config)
}
