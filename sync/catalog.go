package sync

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/singleflight"

	"github.com/layoutfs/layoutfs/index"
)

// entry is a name as this host knows it.
type entry struct {
	version   index.Version
	desc      ocispec.Descriptor
	config    *ocispec.Descriptor // of a synthesised layout
	broken    string              // why it cannot be shown
	warning   string              // why it is of no use to some
	empty     bool                // a cache without layers: there is nothing to show
	learnt    time.Time
	again     time.Time // it could not be read, and is not tried before
	read      bool      // its closure is in the index
	unpublish bool      // an acknowledged publication that has not reached the bucket
	early     bool      // it came before its blobs
}

// catalog holds the names of the bucket, as last listed, with what this host published since.
type catalog struct {
	flight singleflight.Group

	mu        sync.Mutex // guards following; a leaf
	names     map[string]entry
	health    map[string]health        // of names whose closures were looked for
	manifests map[digest.Digest]string // a name that has that manifest
	synth     map[digest.Digest]string // the manifests and configs that are synthesised, and for which name
	listed    map[string]time.Time     // when the last listing of a scope began
}

func newCatalog() *catalog {
	return &catalog{
		names: map[string]entry{}, health: map[string]health{}, manifests: map[digest.Digest]string{},
		synth: map[digest.Digest]string{}, listed: map[string]time.Time{},
	}
}

func (c *catalog) get(name string) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.names[name]
	return e, ok
}

// isNew says whether nothing is known of a name.
func (c *catalog) isNew(name string) bool {
	_, ok := c.get(name)
	return !ok
}

// hasBody says whether what is known of a name is of an object with the body of that version.
func (c *catalog) hasBody(name string, v index.Version) bool {
	e, ok := c.get(name)
	return ok && e.version.ETag == v.ETag && e.version.Size == v.Size
}

// set notes what is known of a name. What was acknowledged here and is not in the bucket yet is not
// replaced by what the bucket has.
func (c *catalog) set(name string, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.names[name]; ok && old.waits(e) {
		return
	}
	h := c.health[name]
	same := c.names[name].desc.Digest == e.desc.Digest && h.shown == nil
	c.forget(name)
	c.names[name] = e
	if same {
		c.health[name] = h
	}
	if e.desc.Digest != "" {
		c.manifests[e.desc.Digest] = name
	}
	if e.config != nil {
		c.synth[e.desc.Digest] = name
		c.synth[e.config.Digest] = name
	}
}

// waits says whether an entry waits for its publication and newer does not bring that.
func (e entry) waits(newer entry) bool {
	return e.unpublish && !newer.unpublish && newer.desc.Digest != e.desc.Digest
}

// waiting says whether set would pass over an entry with that manifest.
func (c *catalog) waiting(name string, d digest.Digest) bool {
	old, ok := c.get(name)
	return ok && old.waits(entry{desc: ocispec.Descriptor{Digest: d}})
}

func (c *catalog) remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(name)
	delete(c.names, name)
}

// forget drops what is kept because of a name's entry.
func (c *catalog) forget(name string) {
	old, ok := c.names[name]
	if !ok {
		return
	}
	if h, ok := c.health[name]; ok && h.shown != nil {
		c.unlink(c.synth, h.shown.Digest, name)
	}
	delete(c.health, name)
	c.unlink(c.manifests, old.desc.Digest, name)
	if old.config != nil {
		c.unlink(c.synth, old.desc.Digest, name)
		c.unlink(c.synth, old.config.Digest, name)
	}
}

func (c *catalog) unlink(from map[digest.Digest]string, d digest.Digest, name string) {
	if from[d] == name {
		delete(from, d)
	}
}

// postpone has a name not read again before a time.
func (c *catalog) postpone(name string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.names[name]; ok {
		e.again = until
		c.names[name] = e
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
	e, h := c.names[name], c.health[name]
	switch {
	case h.shown != nil && h.shown.Digest == d:
		return name, h.shown.Size, true
	case e.config != nil && e.config.Digest == d:
		return name, e.config.Size, true
	}
	return name, e.desc.Size, true
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

// nested lists what of a name and those beneath it is a tag in the directory of a name, which some servers do not
// list.
func (c *catalog) nested(name string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	if isBeneath(name, func(above string) bool { _, ok := c.names[above]; return ok }) {
		names = append(names, name)
	}
	for n := range c.names {
		if n != name && inScope(name, n) {
			names = append(names, n)
		}
	}
	return names
}

// unread lists the names whose closure is not in the index.
func (c *catalog) unread() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name, e := range c.names {
		if !e.read && e.broken == "" && !e.empty {
			names = append(names, name)
		}
	}
	return names
}

// recall returns the records of the names that can be shown, without their closures, which are in no index from now on.
func (c *catalog) recall() []index.Name {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []index.Name
	for name, e := range c.names {
		if e.broken == "" && !e.empty {
			e.read = false
			c.names[name] = e
			all = append(all, index.Name{Name: name, Version: e.version, Descriptor: e.desc, Synthetic: e.config != nil})
		}
	}
	return all
}

// isForeign says whether a digest is the manifest of a name that is not in a scope, and that and all names of the
// scope have closures in the index, which may reach it all the same.
func (c *catalog) isForeign(d digest.Digest, scope string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner, ok := c.manifests[d]; !ok || inScope(scope, owner) || !c.names[owner].read {
		return false
	}
	for name, e := range c.names {
		if !e.read && e.broken == "" && !e.empty && inScope(scope, name) {
			return false
		}
	}
	return true
}

// noteRead notes that the closure of a name is in the index, if it still has that manifest.
func (c *catalog) noteRead(name string, d digest.Digest, warning string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.names[name]; ok && e.desc.Digest == d {
		e.read, e.warning = true, warning
		c.names[name] = e
	}
}

// listedSince says whether a listing of a scope began after a time; one of the root is one of all.
func (c *catalog) listedSince(scope string, t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.listed[scope].Before(t) || !c.listed[""].Before(t)
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
		if !ok || !sameVersion(old.version, v) && old.mayChange(began) && old.again.Before(began) {
			changed = append(changed, name)
		}
	}
	for name, old := range c.names {
		if _, there := listing[name]; !there && inScope(scope, name) && old.mayChange(began) {
			gone = append(gone, name)
		}
	}
	slices.Sort(changed)
	return changed, gone
}

func (e entry) mayChange(began time.Time) bool { return !e.unpublish && e.learnt.Before(began) }

func sameVersion(a, b index.Version) bool {
	return a.ETag == b.ETag && a.Size == b.Size && a.LastModified.Equal(b.LastModified)
}

// warnings lists the names that are of no use to some clients, and why.
func (c *catalog) warnings() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]string{}
	for name, e := range c.names {
		if e.warning != "" {
			all[name] = e.warning
		}
	}
	return all
}

func (c *catalog) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.names)
}
