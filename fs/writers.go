package fs

import (
	"context"
	"maps"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	// exporting is how long what a client writes is taken to wait for its publication.
	exporting = time.Hour
	// maxExported bounds the blobs of a layout that are remembered.
	maxExported = 100_000
)

// writers remembers what was written to each layout since its index.json changed last. All layouts share one
// pool, so a client that collects the garbage of its own (reset=true of BuildKit does, after every export)
// comes upon what builds write to others and have not published yet, and must not take it from them.
type writers struct {
	mu sync.Mutex // guards following; a leaf
	by map[string]*export
}

// export is what was written to one layout.
type export struct {
	last  time.Time
	blobs map[digest.Digest]bool
}

func (e *export) waits(d digest.Digest) bool {
	return e != nil && e.blobs[d] && time.Since(e.last) < exporting
}

// note notes that a layout writes a blob.
func (w *writers) note(d digest.Digest, scope string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.by[scope]
	if e == nil {
		maps.DeleteFunc(w.by, func(_ string, e *export) bool { return time.Since(e.last) >= exporting })
		if w.by == nil {
			w.by = map[string]*export{}
		}
		e = &export{blobs: map[digest.Digest]bool{}}
		w.by[scope] = e
	}
	if len(e.blobs) >= maxExported {
		clear(e.blobs)
	}
	e.last, e.blobs[d] = time.Now(), true
}

// published notes that the index.json of a layout has changed.
func (w *writers) published(scope string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.by, scope)
}

// wrote says whether a layout wrote a blob since.
func (w *writers) wrote(d digest.Digest, scope string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.by[scope].waits(d)
}

// leave notes that a layout removes a blob, and says whether it waits in another.
func (w *writers) leave(d digest.Digest, scope string) (waits bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.by[scope]; e != nil {
		delete(e.blobs, d)
	}
	for _, e := range w.by {
		waits = waits || e.waits(d)
	}
	return waits
}

// noteWriter notes that a file is about to be made a blob in the folder where it has its name.
func (t *tree) noteWriter(in folder, d digest.Digest) {
	if dir, ok := in.(*algorithmDir); ok {
		t.writers.note(d, dir.scope())
		dir.inLayout().begun.wrote(d)
	}
}

func (d *algorithmDir) scope() string { return d.inLayout().scope }

// shows says whether the layout shows a blob that the pool has.
func (d *algorithmDir) shows(ctx context.Context, dg digest.Digest) bool {
	if d.inLayout().hides(ctx, dg) {
		return false
	}
	s, ok := d.t.blobs.(Scoped)
	return !ok || d.t.writers.wrote(dg, d.scope()) || s.Shows(ctx, d.scope(), dg)
}

// forget drops a blob, unless another layout is about to publish it.
func (d *algorithmDir) forget(ctx context.Context, dg digest.Digest) syscall.Errno {
	if d.t.writers.leave(dg, d.scope()) {
		return 0
	}
	return d.t.fail(ctx, "forget", d, d.t.blobs.Forget(context.WithoutCancel(ctx), dg))
}
