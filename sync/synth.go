package sync

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"

	"github.com/dustin/go-humanize"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// understand makes a record of a name object. If the descriptor of a layout travels with it, that is
// the layout; otherwise a type=s3 client wrote it, and manifest and config are synthesised.
func (e *Engine) understand(obj bucket.Name) (index.Name, error) {
	n := index.Name{Name: obj.Name, Version: index.Version(obj.Version)}
	if obj.Descriptor != nil && !isSmaller(obj) {
		n.Descriptor = *obj.Descriptor
		// Most names that are read again say what they said.
		if old, ok, err := e.index.Name(obj.Name); err == nil && ok && !old.Synthetic && old.Descriptor.Digest == n.Descriptor.Digest {
			n.Closure = old.Closure
		}
		return n, checkDescriptor(n.Descriptor)
	}
	layout, err := cacheconfig.Import(obj.Body)
	if err != nil {
		return n, err
	}
	e.layouts.put(obj.Name, layout)
	n.Descriptor, n.Closure, n.Synthetic = layout.Descriptor, order(layout), true
	return n, nil
}

// isSmaller says whether the layout that would be synthesised is of use to BuildKit and the layout that was
// written is too large for it. A config is smaller than its CacheConfig.
func isSmaller(obj bucket.Name) bool {
	own := obj.Descriptor.Size
	if !cacheconfig.TooLarge(own, int64(len(obj.Body))) {
		return false
	}
	layout, err := cacheconfig.Import(obj.Body)
	if err != nil || len(layout.Closure) <= 2 {
		return false // no cache
	}
	config := int64(len(layout.Config))
	return !cacheconfig.TooLarge(layout.Descriptor.Size, config) && (layout.Timeless || cacheconfig.TooLarge(own, config))
}

// unimportable says why BuildKit's type=local cannot import a cache, of its closure; empty if it can.
func unimportable(closure []ocispec.Descriptor) string {
	for i, d := range closure {
		if i > 0 && d.MediaType == cacheconfig.MediaType && cacheconfig.TooLarge(closure[0].Size, d.Size) {
			return fmt.Sprintf("its manifest has %s and its config %s, and BuildKit's type=local imports no more than %s: import it with type=s3, or export less (mode=min)",
				humanize.IBytes(uint64(closure[0].Size)), humanize.IBytes(uint64(d.Size)), humanize.IBytes(cacheconfig.MaxImport))
		}
	}
	return ""
}

// order is the closure of a synthesised layout with the manifest first and the config second, which
// is how entryOf finds them.
func order(l cacheconfig.Layout) []ocispec.Descriptor {
	config := digest.FromBytes(l.Config)
	closure := []ocispec.Descriptor{
		bare(l.Descriptor),
		{MediaType: cacheconfig.MediaType, Digest: config, Size: int64(len(l.Config))},
	}
	for _, d := range l.Closure {
		if d.Digest != l.Descriptor.Digest && d.Digest != config {
			closure = append(closure, bare(d))
		}
	}
	return closure
}

// synthetic returns the size of a blob that can be synthesised.
func (e *Engine) synthetic(d digest.Digest) (int64, bool) {
	_, size, ok := e.catalog.synthetic(d)
	return size, ok
}

// materialise puts what is synthesised of a name's layout on local disk, if d is of it and not there.
// Other blobs it leaves alone.
func (e *Engine) materialise(ctx context.Context, d digest.Digest) error {
	if local := e.disk.Stat(d); local.State == disk.Warm || local.State == disk.Staged {
		return nil
	}
	name, _, ok := e.catalog.synthetic(d)
	if !ok {
		return nil
	}
	if err := e.synthesise(ctx, name, d); err != nil {
		return fmt.Errorf("synthesise the layout of name %q: %w", name, err)
	}
	if local := e.disk.Stat(d); local.State == disk.Absent {
		return fmt.Errorf("blob %s: name %q was written anew since: %w", d, name, iofs.ErrNotExist)
	}
	return nil
}

func (e *Engine) synthesise(ctx context.Context, name string, d digest.Digest) error {
	if whole, gone, ok := e.catalog.standsFor(d); ok {
		b, err := e.readBlob(ctx, whole)
		if err == nil {
			_, err = e.keepTrimmed(whole, b, gone)
		}
		return err
	}
	layout, ok := e.layouts.get(name)
	if !ok {
		obj, release, err := e.object(ctx, name)
		if err != nil {
			return err
		}
		defer release()
		if layout, err = cacheconfig.Import(obj.Body); err != nil {
			return err
		}
	}
	return errors.Join(e.keepBytes(layout.Config), e.keepBytes(layout.Manifest))
}

// keepBytes makes a warm blob of bytes that can be synthesised again.
func (e *Engine) keepBytes(b []byte) error {
	d := digest.FromBytes(b)
	if err := e.disk.Keep(b, d); err != nil {
		return err
	}
	return e.kept(d, int64(len(b)))
}

// maxLayouts bounds the synthesised layouts that are kept in memory, in bytes. They are kept from when
// a name is seen to when a builder reads it, which is usually at once.
const maxLayouts = 16 << 20

// layouts is a small memory of synthesised layouts.
type layouts struct {
	mu    sync.Mutex // guards following; a leaf
	bytes int
	by    map[string]cacheconfig.Layout
}

func (l *layouts) put(name string, layout cacheconfig.Layout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.by[name]; ok {
		l.bytes -= len(old.Manifest) + len(old.Config)
		delete(l.by, name)
	}
	size := len(layout.Manifest) + len(layout.Config)
	if l.by == nil || l.bytes+size > maxLayouts {
		l.by, l.bytes = map[string]cacheconfig.Layout{}, 0
	}
	if size <= maxLayouts {
		l.by[name] = layout
		l.bytes += size
	}
}

func (l *layouts) get(name string) (cacheconfig.Layout, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	layout, ok := l.by[name]
	return layout, ok
}
