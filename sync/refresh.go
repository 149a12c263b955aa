package sync

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

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
	ent := entry{version: n.Version, desc: n.Descriptor, read: len(n.Closure) > 0, warning: unimportable(n.Closure)}
	if n.Synthetic && len(n.Closure) > 1 {
		ent.config = &n.Closure[1]
	}
	return ent
}

// refresh lists the names of a scope, unless a listing of it began at most --refresh ago, and reads those
// that changed. A listing under way that began earlier does not do. A bucket that does not answer leaves
// what is known.
func (e *Engine) refresh(ctx context.Context, scope string) error {
	since := time.Now().Add(-e.o.Refresh)
	for !e.o.Offline && !e.catalog.listedSince(scope, since) {
		ch := e.catalog.flight.DoChan(scope, func() (any, error) {
			ctx, cancel := context.WithTimeout(e.ctx, refreshTimeout)
			defer cancel()
			return nil, e.list(ctx, scope)
		})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case r := <-ch:
			if r.Err != nil {
				return r.Err
			}
		}
	}
	return nil
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
	if len(changed) > 0 {
		e.presence.reconsider()
	}
	if slices.ContainsFunc(changed, e.catalog.isNew) {
		e.presence.survey(onePage) // its blobs will be looked for
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(asksNames)
	for _, name := range gone {
		beneath := isBeneath(name, func(above string) bool { _, ok := listing[above]; return ok })
		g.Go(func() error { return e.readUnlisted(ctx, name, beneath) })
	}
	for _, name := range changed {
		g.Go(func() error { return e.readName(ctx, name) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if slices.ContainsFunc(changed, func(name string) bool { return !e.catalog.hasBody(name, listing[name]) }) {
		e.presence.reconsider() // it has changed once more
	}
	e.catalog.noteListed(scope, began)
	return nil
}

// isBeneath says whether a name is a tag in the directory of another for which is says true.
func isBeneath(name string, is func(above string) bool) bool {
	for i, c := range name {
		if c == '/' && is(name[:i]) {
			return true
		}
	}
	return false
}

// readUnlisted reads a name that is not listed any more and may be there all the same: a listing may be old, and of
// the objects a and a/b MinIO lists a alone.
func (e *Engine) readUnlisted(ctx context.Context, name string, beneath bool) error {
	if err := e.readName(ctx, name); err != nil {
		return err
	}
	if _, there := e.catalog.get(name); there && beneath {
		e.ensureListed(ctx, name)
	}
	return nil
}

// ensureListed lets other hosts see a name. A failure does not take back that it was published.
func (e *Engine) ensureListed(ctx context.Context, name string) {
	if e.o.ReadOnly {
		return
	}
	if err := e.guard.EnsureListed(ctx, name); err != nil {
		e.log.Warn("other hosts may not see a name", "name", name, "err", err)
		e.guard.report(err)
	}
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
	if len(name) > index.MaxName {
		e.unreadable(name, fmt.Errorf("it has %d bytes; %d are the most", len(name), index.MaxName))
		return nil
	}
	obj, release, err := e.object(ctx, name)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		e.log.Info("a name is gone from the bucket", "name", name)
		return e.dropName(name)
	case errors.Is(err, bucket.ErrUnreachable) || ctx.Err() != nil:
		return err
	case err != nil:
		e.unreadable(name, err)
		return nil
	}
	defer release()
	if obj.Descriptor == nil && cacheconfig.Empty(obj.Body) {
		return e.learnEmpty(obj.NameEntry)
	}
	n, err := e.understand(obj)
	if err != nil {
		e.markBroken(name, index.Version(obj.Version), err)
		return nil
	}
	return e.learn(n)
}

// learnEmpty notes a name of a cache without layers, which reaches nothing.
func (e *Engine) learnEmpty(n bucket.NameEntry) error {
	if e.catalog.waiting(n.Name, "") {
		return nil
	}
	e.catalog.set(n.Name, entry{version: index.Version(n.Version), empty: true, learnt: time.Now()})
	if err := e.index.DeleteName(n.Name); err != nil {
		return fmt.Errorf("forget what name %q reached: %w", n.Name, err)
	}
	return nil
}

// unreadable notes a name whose object the bucket has and does not give. What was known of it stays.
func (e *Engine) unreadable(name string, err error) {
	if old, ok := e.catalog.get(name); ok && old.broken == "" {
		e.log.Warn("a name has changed and cannot be read", "name", name, "err", err)
		e.guard.report(fmt.Errorf("name %q: %w", name, err))
	} else {
		e.markBroken(name, index.Version{}, err)
	}
	e.catalog.postpone(name, time.Now().Add(doubt))
}

func (e *Engine) markBroken(name string, v index.Version, err error) {
	e.log.Warn("a name cannot be shown", "name", name, "err", err)
	e.guard.report(fmt.Errorf("name %q: %w", name, err))
	e.catalog.set(name, entry{version: v, broken: err.Error(), learnt: time.Now()})
}

// learn notes a name in the index and the catalog.
func (e *Engine) learn(n index.Name) error {
	if e.catalog.waiting(n.Name, n.Descriptor.Digest) {
		return nil
	}
	ent := entryOf(n)
	ent.learnt = time.Now()
	e.warn(n.Name, ent.warning)
	err := e.inBoth(func() error { return e.index.PutName(n) }, func() { e.catalog.set(n.Name, ent) })
	if err != nil {
		return fmt.Errorf("note name %q: %w", n.Name, err)
	}
	return nil
}

// inBoth has the index note a closure, and then the catalog that it is there. An index that was lost in between begins
// with what the catalog knew before, and is told once more.
func (e *Engine) inBoth(inIndex func() error, inCatalog func()) error {
	lost := e.index.Lost()
	if err := inIndex(); err != nil {
		return err
	}
	inCatalog()
	if e.index.Lost() == lost {
		return nil
	}
	return inIndex()
}

// warn logs what is said of a name, once.
func (e *Engine) warn(name, warning string) {
	if old, _ := e.catalog.get(name); warning != "" && old.warning != warning {
		e.log.Warn("a cache is too large", "name", name, "why", warning)
	}
}
