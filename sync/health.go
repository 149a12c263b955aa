package sync

import (
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// health is what was found when the blobs of a name were looked for.
//
// A build that meets a layer that is not there fails, although BuildKit could have run the step: once a
// result was offered it does not go back. So a cache is not offered with layers that cannot be had: its
// manifest is replaced by one without them, which BuildKit takes for a smaller cache. Other layouts are
// not offered at all.
type health struct {
	at       time.Time // when it was looked for; zero: never
	answered bool      // the bucket answered then
	gone     map[digest.Digest]bool
	lost     bool                // some are gone from the bucket, rather than out of reach for now
	shown    *ocispec.Descriptor // what stands for the manifest; nil: nothing does
	why      string              // for people; empty: all blobs can be had
}

// recheck is how soon a name is looked at again whose blobs are gone. They are asked for less often (see
// doubt), but one that was uploaded since is known at once.
const recheck = time.Second

// due says whether it is time to look again.
func (h health) due(answers bool) bool {
	switch {
	case h.at.IsZero() || h.answered != answers:
		return true
	case h.lost:
		return time.Since(h.at) >= recheck
	}
	return time.Since(h.at) >= believe
}

// healthOf returns what is known of the health of a name.
func (c *catalog) healthOf(name string) health {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.health[name]
}

// setHealth notes the health of a name, if it still has that manifest.
func (c *catalog) setHealth(name string, d digest.Digest, h health) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names[name].desc.Digest != d {
		return
	}
	if old := c.health[name]; old.shown != nil {
		c.unlink(c.synth, old.shown.Digest, name)
	}
	if h.shown != nil {
		c.synth[h.shown.Digest] = name
	}
	c.health[name] = h
}

// doubtAll has all names looked at again: a blob was found gone that was believed to be there.
func (c *catalog) doubtAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, h := range c.health {
		if h.why == "" {
			delete(c.health, name)
		}
	}
}

// shown is the descriptor under which a name is offered; ok is false if it is not.
func (c *catalog) shown(name string) (d ocispec.Descriptor, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.names[name]
	h := c.health[name]
	switch {
	case !ok || h.why == "":
		return e.desc, ok
	case h.shown == nil:
		return e.desc, false
	}
	return *h.shown, true
}

// standsFor returns the manifest in whose place d is shown, and without which blobs.
func (c *catalog) standsFor(d digest.Digest) (whole ocispec.Descriptor, gone map[digest.Digest]bool, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name, ok := c.synth[d]
	if h := c.health[name]; ok && h.shown != nil && h.shown.Digest == d {
		return c.names[name].desc, h.gone, true
	}
	return ocispec.Descriptor{}, nil, false
}

// named returns a name that has that manifest.
func (c *catalog) named(manifest digest.Digest) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name, ok := c.manifests[manifest]
	return name, ok
}

// unreadable lists the names whose objects cannot be understood, and why.
func (c *catalog) unreadable() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := map[string]string{}
	for name, e := range c.names {
		if e.broken != "" {
			names[name] = e.broken
		}
	}
	return names
}

// broken lists the names of which something cannot be shown, and why.
func (c *catalog) broken() map[string]string {
	names := c.unreadable()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, h := range c.health {
		if h.lost {
			names[name] = h.why
		}
	}
	return names
}
