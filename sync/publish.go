package sync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
)

var errNotPermitted = iofs.ErrPermission

// Publish applies what a writer changed between two versions of an index.json, name by name, so that
// the changes of other hosts stay. Tags that it dropped stay in the bucket unless deleting is allowed.
func (e *Engine) Publish(ctx context.Context, scope string, before, after []byte) error {
	changes, err := diffIndex(before, after)
	if err != nil {
		return fmt.Errorf("publish to the layout %q: %w", scope, err)
	}
	for _, c := range changes {
		for _, name := range e.tags.names(scope, c.key) {
			if err := e.apply(ctx, name, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Engine) apply(ctx context.Context, name string, c change) error {
	switch {
	case c.removed && e.o.AllowDelete:
		return e.deleteName(ctx, name)
	case c.removed:
		e.log.Info("a tag was dropped; its name stays in the bucket", "name", name)
		return nil
	case e.o.WriteBack:
		return e.publishLater(ctx, name, stored(c.desc))
	}
	return e.publish(ctx, name, stored(c.desc))
}

// publish writes a name object, when the closure of its descriptor is in the bucket. Which version that
// made is not known: the next listing shows the name as changed, and it is read.
func (e *Engine) publish(ctx context.Context, name string, desc ocispec.Descriptor) error {
	b, err := e.readBlob(ctx, desc)
	if err != nil {
		return fmt.Errorf("publish name %q: %w", name, err)
	}
	closure, err := e.closureOf(ctx, desc, b)
	if err != nil {
		return fmt.Errorf("publish name %q: %w", name, err)
	}
	if !e.isSettled(desc.Digest) {
		if err := e.ensure(ctx, closure); err != nil {
			return fmt.Errorf("publish name %q: %w", name, err)
		}
		e.settle(desc.Digest)
	}
	body, err := e.body(ctx, b)
	if err != nil {
		return fmt.Errorf("publish name %q: %w", name, err)
	}
	if err := e.guard.PutName(ctx, name, body, &desc); err != nil {
		return fmt.Errorf("publish name %q: %w", name, err)
	}
	e.published.Add(1)
	e.log.Info("name published", "name", name, "manifest", desc.Digest, "blobs", len(closure))
	return e.learn(index.Name{Name: name, Descriptor: desc, Closure: closure})
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

// pendingName is a publication that was acknowledged under write back and waits for its closure to be
// in the bucket. It is a file in staged/, so that it survives whatever happens to us.
type pendingName struct {
	Name       string             `json:"name"`
	Descriptor ocispec.Descriptor `json:"descriptor"`
}

// pending holds the publications that wait. The newest of a name wins.
type pending struct {
	mu   sync.Mutex // guards following; a leaf
	docs map[string][]byte
	wake chan struct{}
}

func (p *pending) put(name string, doc []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.docs[name] = doc
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pending) done(name string, doc []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Equal(p.docs[name], doc) {
		delete(p.docs, name)
	}
}

func (p *pending) all() map[string][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	docs := make(map[string][]byte, len(p.docs))
	for name, doc := range p.docs {
		docs[name] = doc
	}
	return docs
}

// publishLater acknowledges a publication by putting it on disk; this mount shows the name at once.
func (e *Engine) publishLater(ctx context.Context, name string, desc ocispec.Descriptor) error {
	b, err := e.readBlob(ctx, desc)
	if err != nil {
		return fmt.Errorf("publish name %q: %w", name, err)
	}
	closure, err := e.closureOf(ctx, desc, b)
	if err != nil {
		return fmt.Errorf("publish name %q: %w", name, err)
	}
	if err := e.ensureKnown(ctx, closure); err != nil {
		return fmt.Errorf("publish name %q: %w", name, err)
	}
	doc, err := json.Marshal(pendingName{Name: name, Descriptor: desc})
	if err != nil {
		return fmt.Errorf("publish name %q: %w", name, err)
	}
	if err := e.disk.PutPending(name, doc); err != nil {
		return fmt.Errorf("publish name %q: %w", name, err)
	}
	e.catalog.set(name, entry{desc: desc, learnt: time.Now(), unpublish: true})
	e.pending.put(name, doc)
	return nil
}

// publishPending publishes what waits, once; the error joins those of the names that still wait.
func (e *Engine) publishPending(ctx context.Context) error {
	var errs []error
	for name, doc := range e.pending.all() {
		if err := e.publishDoc(ctx, name, doc); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) publishDoc(ctx context.Context, name string, doc []byte) error {
	var p pendingName
	if err := json.Unmarshal(doc, &p); err != nil {
		return fmt.Errorf("publication of name %q as it was kept: %w", name, err)
	}
	if err := e.publish(ctx, p.Name, p.Descriptor); err != nil {
		return err
	}
	if err := e.disk.RemovePending(name, doc); err != nil {
		return fmt.Errorf("publication of name %q is done: %w", name, err)
	}
	e.pending.done(name, doc)
	return nil
}

// publisher publishes what waits, for as long as the engine is open.
func (e *Engine) publisher() {
	after := retryMin
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.pending.wake:
		}
		err := e.publishPending(e.ctx)
		if err == nil {
			after = retryMin
			continue
		}
		e.guard.report(err)
		e.log.Warn("publication failed, it will be tried again", "after", after, "err", err)
		select {
		case <-e.ctx.Done():
			return
		case <-time.After(after):
		}
		after = min(2*after, retryMax)
		e.pending.rouse()
	}
}

func (p *pending) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
