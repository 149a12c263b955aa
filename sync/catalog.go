package sync

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

const (
	// asksNames bounds the name objects that are read at once.
	asksNames = 16
	// refreshTimeout bounds how long an open of index.json waits for the bucket before it is served
	// from what is known.
	refreshTimeout = 10 * time.Second
)

// entry is a name as this host knows it.
type entry struct {
	version   index.Version
	desc      ocispec.Descriptor
	config    *ocispec.Descriptor // of a synthesised layout
	broken    string              // why it cannot be shown
	empty     bool                // a cache without layers: there is nothing to show
	learnt    time.Time
	read      bool // its closure is in the index
	unpublish bool // a write-back publication that has not reached the bucket
}

// catalog holds the names of the bucket, as last listed, with what this host published since.
type catalog struct {
	flight singleflight.Group

	mu     sync.Mutex // guards following; a leaf
	names  map[string]entry
	synth  map[digest.Digest]string // the manifests and configs that are synthesised, and for which name
	listed map[string]time.Time     // when the last listing of a scope began
}

func newCatalog() *catalog {
	return &catalog{names: map[string]entry{}, synth: map[digest.Digest]string{}, listed: map[string]time.Time{}}
}

func (c *catalog) get(name string) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.names[name]
	return e, ok
}

func (c *catalog) set(name string, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsynth(name)
	c.names[name] = e
	if e.config != nil {
		c.synth[e.desc.Digest] = name
		c.synth[e.config.Digest] = name
	}
}

func (c *catalog) remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsynth(name)
	delete(c.names, name)
}

func (c *catalog) unsynth(name string) {
	old, ok := c.names[name]
	if !ok || old.config == nil {
		return
	}
	for _, d := range []digest.Digest{old.desc.Digest, old.config.Digest} {
		if c.synth[d] == name {
			delete(c.synth, d)
		}
	}
}

// synthetic returns the name whose layout holds d as a synthesised manifest or config, and its size.
func (c *catalog) synthetic(d digest.Digest) (name string, size int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name, ok = c.synth[d]
	if !ok {
		return "", 0, false
	}
	e := c.names[name]
	if e.desc.Digest == d {
		return name, e.desc.Size, true
	}
	return name, e.config.Size, true
}

func inScope(scope, name string) bool {
	return scope == "" || name == scope || strings.HasPrefix(name, scope+"/")
}

// within lists the names of a scope that can be shown, in order.
func (c *catalog) within(scope string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name, e := range c.names {
		if e.broken == "" && !e.empty && inScope(scope, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// unread lists the names whose closure is not in the index.
func (c *catalog) unread() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name, e := range c.names {
		if !e.read && e.broken == "" && !e.empty && !e.unpublish {
			names = append(names, name)
		}
	}
	return names
}

func (c *catalog) noteRead(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.names[name]; ok {
		e.read = true
		c.names[name] = e
	}
}

// fresh says whether a scope was listed within the given time; a listing of the root is one of all.
func (c *catalog) fresh(scope string, age time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.listed[scope]) <= age || time.Since(c.listed[""]) <= age
}

// maxScopes bounds the scopes whose last listing is remembered.
const maxScopes = 10_000

func (c *catalog) noteListed(scope string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.listed) >= maxScopes {
		clear(c.listed)
	}
	c.listed[scope] = at
}

// differences compares a listing that began at a time with what is known. What was learnt after that
// is newer than the listing.
func (c *catalog) differences(scope string, listing map[string]index.Version, began time.Time) (changed, gone []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, v := range listing {
		old, ok := c.names[name]
		if !ok || !sameVersion(old.version, v) && !old.unpublish && old.learnt.Before(began) {
			changed = append(changed, name)
		}
	}
	for name, old := range c.names {
		_, there := listing[name]
		if !there && inScope(scope, name) && !old.unpublish && old.learnt.Before(began) {
			gone = append(gone, name)
		}
	}
	slices.Sort(changed)
	return changed, gone
}

func sameVersion(a, b index.Version) bool {
	return a.ETag == b.ETag && a.Size == b.Size && a.LastModified.Equal(b.LastModified)
}

// load fills the catalog from the index.
func (e *Engine) loadNames() error {
	for n, err := range e.index.Names("") {
		if err != nil {
			return fmt.Errorf("read the names of the index: %w", err)
		}
		e.catalog.set(n.Name, entryOf(n))
	}
	return nil
}

func entryOf(n index.Name) entry {
	ent := entry{version: n.Version, desc: n.Descriptor, read: len(n.Closure) > 0}
	if n.Synthetic && len(n.Closure) > 1 {
		ent.config = &n.Closure[1]
	}
	return ent
}

// refresh lists the names of a scope, unless that was done within --refresh, and reads those that
// changed. A bucket that does not answer leaves what is known.
func (e *Engine) refresh(ctx context.Context, scope string) error {
	if e.o.Offline || e.catalog.fresh(scope, e.o.Refresh) {
		return nil
	}
	ch := e.catalog.flight.DoChan(scope, func() (any, error) {
		ctx, cancel := context.WithTimeout(e.ctx, refreshTimeout)
		defer cancel()
		return nil, e.list(ctx, scope)
	})
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case r := <-ch:
		return r.Err
	}
}

func (e *Engine) list(ctx context.Context, scope string) error {
	began := time.Now()
	listing := map[string]index.Version{}
	for n, err := range e.guard.ListNames(ctx, scope) {
		if err != nil {
			return fmt.Errorf("list names: %w", err)
		}
		if inScope(scope, n.Name) {
			listing[n.Name] = index.Version(n.Version)
		}
	}
	changed, gone := e.catalog.differences(scope, listing, began)
	for _, name := range gone {
		if err := e.dropName(name); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(asksNames)
	for _, name := range changed {
		g.Go(func() error { return e.readName(ctx, name) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(changed) > 0 {
		e.presence.reconsider()
	}
	e.catalog.noteListed(scope, began)
	return nil
}

func (e *Engine) dropName(name string) error {
	e.catalog.remove(name)
	if err := e.index.DeleteName(name); err != nil {
		return fmt.Errorf("forget name %q: %w", name, err)
	}
	return nil
}

// readName reads a name object and notes what it says. One that cannot be understood is kept as
// broken: it is not shown, and not read again until it changes.
func (e *Engine) readName(ctx context.Context, name string) error {
	obj, err := e.guard.GetName(ctx, name)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return e.dropName(name)
	case errors.Is(err, bucket.ErrUnreachable) || ctx.Err() != nil:
		return err
	case err != nil:
		e.markBroken(name, index.Version(obj.Version), err)
		return nil
	}
	if obj.Descriptor == nil && cacheconfig.Empty(obj.Body) {
		e.catalog.set(name, entry{version: index.Version(obj.Version), empty: true, learnt: time.Now()})
		return nil
	}
	n, err := e.understand(obj)
	if err != nil {
		e.markBroken(name, index.Version(obj.Version), err)
		return nil
	}
	return e.learn(n)
}

func (e *Engine) markBroken(name string, v index.Version, err error) {
	e.log.Warn("a name cannot be shown", "name", name, "err", err)
	e.guard.report(fmt.Errorf("name %q: %w", name, err))
	e.catalog.set(name, entry{version: v, broken: err.Error(), learnt: time.Now()})
}

// learn notes a name in the index and the catalog.
func (e *Engine) learn(n index.Name) error {
	if err := e.index.PutName(n); err != nil {
		return fmt.Errorf("note name %q: %w", n.Name, err)
	}
	ent := entryOf(n)
	ent.learnt = time.Now()
	e.catalog.set(n.Name, ent)
	return nil
}

// brokenNames lists the names that cannot be shown and why.
func (c *catalog) brokenNames() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	broken := map[string]string{}
	for name, e := range c.names {
		if e.broken != "" {
			broken[name] = e.broken
		}
	}
	return broken
}

func (c *catalog) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.names)
}
