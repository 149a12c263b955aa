package sync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index"
)

// pendingName is a publication that was acknowledged and waits for its closure to be in the bucket: under
// write back, and when index.json came before the blobs that it names. It is a file in staged/, so that it
// survives whatever happens to us.
type pendingName struct {
	Name       string             `json:"name"`
	Descriptor ocispec.Descriptor `json:"descriptor"`
	Early      bool               `json:"early,omitempty"` // it came before its blobs
}

// pending holds the publications that wait. The newest of a name wins.
type pending struct {
	mu   sync.Mutex // guards following; a leaf
	docs map[string][]byte
	wake chan struct{}
}

func (p *pending) put(name string, doc []byte) {
	p.mu.Lock()
	p.docs[name] = doc
	p.mu.Unlock()
	p.rouse()
}

// rouse has the publisher look at once.
func (p *pending) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// came has the publisher look whether a blob that has come is what a publication waits for.
func (p *pending) came() {
	p.mu.Lock()
	waits := len(p.docs) > 0
	p.mu.Unlock()
	if waits {
		p.rouse()
	}
}

func (p *pending) get(name string) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	doc, ok := p.docs[name]
	return doc, ok
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
	return maps.Clone(p.docs)
}

// publishLater acknowledges a publication by putting it on disk; this mount shows the name at once.
func (e *Engine) publishLater(ctx context.Context, name string, desc ocispec.Descriptor) error {
	_, closure, err := e.read(ctx, desc)
	if err == nil {
		err = e.ensureKnown(ctx, closure)
	}
	if err != nil {
		return err
	}
	if err := e.keepPending(name, entry{desc: desc, learnt: time.Now(), read: true, unpublish: true}); err != nil {
		return err
	}
	return e.index.PutName(index.Name{Name: name, Descriptor: desc, Closure: closure})
}

// publishWhenThere acknowledges a publication that came before its blobs. rsync copies index.json first, cp
// may. Until they come it is shown here, and counts as what is not in the bucket yet.
func (e *Engine) publishWhenThere(name string, desc ocispec.Descriptor, why error) error {
	e.log.Warn("a name is published when its blobs are there", "name", name, "err", why)
	return e.keepPending(name, entry{desc: desc, learnt: time.Now(), unpublish: true, early: true})
}

func (e *Engine) keepPending(name string, ent entry) error {
	doc, err := json.Marshal(pendingName{Name: name, Descriptor: ent.desc, Early: ent.early})
	if err != nil {
		return err
	}
	if err := e.disk.PutPending(name, doc); err != nil {
		return err
	}
	e.catalog.set(name, ent)
	e.pending.put(name, doc)
	return nil
}

// withdraw drops a publication that waits for blobs which may never come. It says whether there was one.
func (e *Engine) withdraw(name string) (bool, error) {
	ent, ok := e.catalog.get(name)
	doc, waits := e.pending.get(name)
	if !ok || !waits || !ent.early {
		return false, nil
	}
	if err := e.dropPending(name, doc); err != nil {
		return true, err
	}
	return true, e.dropName(name) // what the bucket has of it is listed next
}

// publishPending publishes what waits, once; the error joins those of the names that still wait.
func (e *Engine) publishPending(ctx context.Context) error {
	var errs []error
	for name, doc := range e.pending.all() {
		if err := e.publishDoc(ctx, name, doc); err != nil {
			errs = append(errs, fmt.Errorf("publish name %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// onlyEarly says whether all that a joined error tells of is publications whose blobs have not come.
func onlyEarly(err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return errors.Is(err, errNotYet)
	}
	return !slices.ContainsFunc(joined.Unwrap(), func(err error) bool { return !errors.Is(err, errNotYet) })
}

// publishDoc publishes what waits under a name, unless something newer does by now.
func (e *Engine) publishDoc(ctx context.Context, name string, doc []byte) error {
	release, err := e.turns.take(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	if now, ok := e.pending.get(name); !ok || !bytes.Equal(now, doc) {
		return nil
	}
	var p pendingName
	if err := json.Unmarshal(doc, &p); err != nil {
		return fmt.Errorf("what was kept of it: %w", err)
	}
	if err := e.publish(ctx, p.Name, p.Descriptor); err != nil {
		return err
	}
	return e.dropPending(name, doc)
}

func (e *Engine) dropPending(name string, doc []byte) error {
	if err := e.disk.RemovePending(name, doc); err != nil {
		return err
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
		if onlyEarly(err) {
			continue // until another blob comes
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
