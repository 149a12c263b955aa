package sync

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/sync/disk"
)

const (
	// glance is how long an open of index.json waits for what it shows to be examined: a client may hold
	// the lock of index.json meanwhile. What takes longer is waited for when the manifest is asked for.
	glance = 500 * time.Millisecond
	// maxExamined is how many names a layout may have for all of them to be examined when its index.json is
	// opened. Of more, only the configured one and those that are ill are, and others when their manifests
	// are asked for: a bucket may have thousands that this host never uses.
	maxExamined = 16
	// examineWithin bounds how long a client waits for a name to be examined.
	examineWithin = 10 * time.Second
)

// examine looks for the blobs of names about which nothing is known yet, for a moment.
func (e *Engine) examine(ctx context.Context, names []string) {
	due := e.due(names)
	if len(due) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, glance)
	defer cancel()
	var wg sync.WaitGroup
	for _, name := range due {
		wg.Go(func() { e.await(ctx, name) })
	}
	wg.Wait()
	if len(names) == 1 {
		e.foresee(names[0])
	}
}

// foresee takes the manifest of a name for opened: a client that looks at one name reads it next, and then its config.
func (e *Engine) foresee(name string) {
	if desc, ok := e.catalog.shown(name); ok {
		e.opened(desc.Digest, desc.Size)
	}
}

// due lists the names that are to be examined, the configured one and those that are ill first.
func (e *Engine) due(names []string) []string {
	up := e.guard.up()
	var first, others []string
	for _, name := range names {
		switch h := e.catalog.healthOf(name); {
		case !h.due(up):
		case h.why != "" || name == e.o.Configured[0]:
			first = append(first, name)
		default:
			others = append(others, name)
		}
	}
	if len(names) > maxExamined {
		return first[:min(len(first), maxExamined)]
	}
	return append(first, others...)
}

// await examines a name, with all who want to know; one that gives up does not end it.
func (e *Engine) await(ctx context.Context, name string) {
	ch := e.catalog.flight.DoChan("examine\x00"+name, func() (any, error) {
		ctx, cancel := context.WithTimeout(e.ctx, examineWithin)
		defer cancel()
		err := e.look(ctx, name)
		if err != nil && e.ctx.Err() == nil {
			e.log.Warn("the blobs of a name could not be looked for", "name", name, "err", err)
		}
		return nil, nil
	})
	select {
	case <-ch:
	case <-ctx.Done():
	}
}

// offered says whether a manifest may be read. That of a name of which blobs are lost may not: BuildKit
// passes over a cache whose manifest is not there, and fails on one whose layers are not.
func (e *Engine) offered(ctx context.Context, d digest.Digest) bool {
	name, ok := e.catalog.named(d)
	if !ok {
		return true
	}
	if e.catalog.healthOf(name).due(e.guard.up()) {
		ctx, cancel := context.WithTimeout(ctx, examineWithin)
		defer cancel()
		e.await(ctx, name)
	}
	return !e.catalog.healthOf(name).lost
}

// look looks for the blobs of a name and notes what it finds.
func (e *Engine) look(ctx context.Context, name string) error {
	ent, ok := e.catalog.get(name)
	if !ok || ent.broken != "" || ent.empty || ent.early {
		return nil
	}
	h := health{at: time.Now(), answered: e.guard.up()}
	err := e.lookFor(ctx, name, ent, &h)
	if errors.Is(err, errRebuild) {
		return e.rebuild(ctx, name, ent, h)
	}
	if err == nil || !e.guard.up() {
		e.note(name, ent, h)
	}
	return err
}

// errRebuild says that the manifest or the config of a name is gone.
var errRebuild = errors.New("its manifest or config is gone from the bucket")

func (e *Engine) lookFor(ctx context.Context, name string, ent entry, h *health) error {
	closure, err := e.Closure(ctx, name)
	if errors.Is(err, iofs.ErrNotExist) {
		return errRebuild
	}
	if err != nil {
		return err
	}
	if h.gone, h.lost, err = e.missing(ctx, closure); err != nil || len(h.gone) == 0 {
		return err
	}
	if h.gone[ent.desc.Digest] {
		return rebuildIf(h.lost)
	}
	release, err := e.objects.alone(ctx, ent.desc.Size)
	if err != nil {
		return err
	}
	defer release()
	b, err := e.readBlob(ctx, ent.desc)
	if err != nil {
		return err
	}
	m, err := cacheconfig.ParseManifest(b)
	if err == nil && m.IsCache() {
		if h.gone[m.Config.Digest] {
			return rebuildIf(h.lost)
		}
		if h.shown, err = e.keepTrimmed(ent.desc, b, h.gone); err != nil {
			return err
		}
	}
	if h.lost || h.shown != nil {
		h.why = fmt.Sprintf("%d of %d blobs cannot be had, %s among them; the next export writes them again",
			len(h.gone), len(closure), anyOf(h.gone))
	}
	return nil
}

// rebuildIf is for a cache whose manifest or config cannot be had: BuildKit passes over one of which that
// is only out of reach.
func rebuildIf(lost bool) error {
	if lost {
		return errRebuild
	}
	return nil
}

// keepTrimmed puts the manifest without the blobs that are gone on local disk, and describes it.
func (e *Engine) keepTrimmed(desc ocispec.Descriptor, manifest []byte, gone map[digest.Digest]bool) (*ocispec.Descriptor, error) {
	b, err := cacheconfig.Trim(manifest, func(d digest.Digest) bool { return gone[d] })
	if err != nil {
		return nil, err
	}
	desc.Digest, desc.Size = digest.FromBytes(b), int64(len(b))
	return &desc, e.keepBytes(b)
}

// rebuild makes a layout of the cache config in the name object, as of a name that type=s3 wrote.
func (e *Engine) rebuild(ctx context.Context, name string, ent entry, h health) error {
	n, empty, err := e.withoutManifest(ctx, name)
	if err != nil || !sameVersion(ent.version, n.Version) {
		return err // it is read again with the next listing
	}
	if empty {
		h.lost, h.why = true, errRebuild.Error()
		e.note(name, ent, h)
		return nil
	}
	e.log.Warn("a layout is made anew of its cache config", "name", name, "why", errRebuild)
	if err := e.learn(n); err != nil {
		return err
	}
	return e.look(ctx, name)
}

// withoutManifest understands a name object as if no layout's manifest travelled with it. It says whether there is
// nothing to show then.
func (e *Engine) withoutManifest(ctx context.Context, name string) (n index.Name, empty bool, err error) {
	obj, release, err := e.object(ctx, name)
	if err != nil {
		return index.Name{}, false, err
	}
	defer release()
	obj.Descriptor = nil
	n, err = e.understand(obj)
	return n, err != nil || cacheconfig.Empty(obj.Body), nil
}

func (e *Engine) note(name string, ent entry, h health) {
	was := e.catalog.healthOf(name)
	e.catalog.setHealth(name, ent.desc.Digest, h)
	switch {
	case h.lost && !was.lost:
		e.log.Warn("a name is broken", "name", name, "why", h.why)
		e.guard.report(fmt.Errorf("name %q: %s", name, h.why))
	case was.lost && !h.lost:
		e.log.Info("a name is whole again", "name", name)
	}
}

// missing lists the blobs of a closure that cannot be had: that are not here, and not in the bucket or,
// while it does not answer, out of reach. It says whether some are gone from the bucket.
func (e *Engine) missing(ctx context.Context, closure []ocispec.Descriptor) (gone map[digest.Digest]bool, lost bool, err error) {
	var mu sync.Mutex // guards gone and lost
	gone = map[digest.Digest]bool{}
	unknown := slices.DeleteFunc(slices.Clone(closure), e.isKnown)
	if e.guard.up() {
		e.presence.expect(ctx, len(unknown))
	}
	err = each(ctx, unknown, func(ctx context.Context, d ocispec.Descriptor) error {
		have, isLost, err := e.bucketHas(ctx, d)
		if !have && err == nil {
			mu.Lock()
			defer mu.Unlock()
			gone[d.Digest] = true
			lost = lost || isLost
		}
		return err
	})
	return gone, lost, err
}

// bucketHas says whether the bucket has a blob, and else whether that is known: it may not answer.
func (e *Engine) bucketHas(ctx context.Context, d ocispec.Descriptor) (have, lost bool, err error) {
	if !e.guard.up() {
		return false, false, nil
	}
	if ok, err := e.presence.seen(d.Digest, d.Size); ok || err != nil {
		return ok, false, err
	}
	a, ok := e.presence.recall(d.Digest, believe)
	if !ok { // nothing is taken for lost because a listing lacks it
		if a, err = e.presence.head(ctx, d.Digest); err != nil {
			return false, false, err
		}
	}
	have = a.found && a.size == d.Size
	return have, !have, nil
}

// isKnown says whether a blob is here, or was in the bucket a moment ago.
func (e *Engine) isKnown(d ocispec.Descriptor) bool {
	if local := e.disk.Stat(d.Digest); local.State == disk.Warm || local.State == disk.Staged {
		return true
	}
	if _, ok := e.synthetic(d.Digest); ok {
		return true
	}
	rec, ok, err := e.index.Blob(d.Digest)
	return err == nil && ok && e.guard.up() && believed(rec)
}

// anyOf names one of them, always the same.
func anyOf(ds map[digest.Digest]bool) digest.Digest {
	var all []digest.Digest
	for d := range ds {
		all = append(all, d)
	}
	return slices.Min(all)
}
