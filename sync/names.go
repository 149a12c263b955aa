package sync

import (
	"context"
	"fmt"
	"path"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/index"
)

// Index renders the index.json of a scope: "" for the root, else a name. It shows every name that any
// host published at least --refresh ago; if the bucket does not answer, what is known.
func (e *Engine) Index(ctx context.Context, scope string) ([]byte, error) {
	if err := e.refreshOrKnown(ctx, scope); err != nil {
		return nil, err
	}
	names := e.catalog.within(scope)
	e.examine(ctx, names)
	entries := map[string]ocispec.Descriptor{}
	for _, name := range names {
		desc, ok := e.catalog.shown(name)
		if key, inScope := e.tags.Key(scope, name); ok && inScope {
			entries[key] = desc
		}
	}
	return renderIndex(entries)
}

// refreshOrKnown refreshes a scope; a bucket that does not answer is logged and passed over.
func (e *Engine) refreshOrKnown(ctx context.Context, scope string) error {
	err := e.refresh(ctx, scope)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		e.log.Warn("names are shown as last known", "scope", scope, "err", err)
	}
	return nil
}

// Children lists the directories below a scope.
func (e *Engine) Children(ctx context.Context, scope string) ([]string, error) {
	if err := e.refreshOrKnown(ctx, scope); err != nil {
		return nil, err
	}
	return children(scope, e.catalog.within(scope)), nil
}

// Exists says whether there are names in a scope: one that is called so, or some beneath it. A bucket may have
// many others, which are not read for it.
func (e *Engine) Exists(ctx context.Context, scope string) (bool, error) {
	if !validComponent(path.Base(scope)) {
		return false, nil
	}
	if err := e.refreshOrKnown(ctx, scope); err != nil {
		return false, err
	}
	return len(e.catalog.within(scope)) > 0, nil
}

// Closure returns every blob that a name needs, manifest first. It is read once, when it is first
// asked for: a bucket may have many names that this host never uses.
func (e *Engine) Closure(ctx context.Context, name string) ([]ocispec.Descriptor, error) {
	n, ok, err := e.index.Name(name)
	if err != nil || !ok || len(n.Closure) > 0 {
		return n.Closure, err
	}
	if err = e.presence.expectOne(ctx, n.Descriptor); err != nil {
		return nil, err
	}
	_, closure, err := e.read(ctx, n.Descriptor)
	if err != nil {
		return nil, fmt.Errorf("closure of name %q: %w", name, err)
	}
	warning := unimportable(closure)
	e.warn(name, warning)
	err = e.inBoth(func() error {
		return e.index.UpdateName(name, func(now *index.Name) bool {
			now.Closure = closure
			return now.Descriptor.Digest == n.Descriptor.Digest
		})
	}, func() { e.catalog.noteRead(name, n.Descriptor.Digest, warning) })
	return closure, err
}

// reached says whether any name needs a blob. Closures that cannot be read now count as not reaching it.
func (e *Engine) reached(ctx context.Context, d digest.Digest) (bool, error) {
	if _, _, ok := e.catalog.synthetic(d); ok {
		return true, nil
	}
	if ok, err := e.index.Reached(d); ok || err != nil {
		return ok, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(asksNames)
	for _, name := range e.catalog.unread() {
		g.Go(func() error {
			if _, err := e.Closure(gctx, name); err != nil && gctx.Err() == nil {
				e.log.Warn("a name's blobs are not known", "err", err)
			}
			return context.Cause(gctx)
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	return e.index.Reached(d)
}

// Delete deletes a name.
func (e *Engine) Delete(ctx context.Context, scope string) error {
	if !e.o.AllowDelete || scope == "" {
		return fmt.Errorf("delete name %q: %w: mount with --allow-delete to delete names", scope, errNotPermitted)
	}
	if err := e.deleteName(ctx, scope); err != nil {
		return e.refuse(err)
	}
	return nil
}

// deleteName deletes a name, and what waits to be published under it.
func (e *Engine) deleteName(ctx context.Context, name string) error {
	release, err := e.turns.take(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	if err := e.guard.DeleteName(ctx, name); err != nil {
		return fmt.Errorf("delete name %q: %w", name, err)
	}
	if doc, ok := e.pending.get(name); ok {
		if err := e.dropPending(name, doc); err != nil {
			return fmt.Errorf("delete name %q: %w", name, err)
		}
	}
	e.log.Info("name deleted", "name", name)
	return e.dropName(name)
}
