package sync

import (
	"context"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// A client imports layer after layer, and asks for the next one when it is done with the last. What it will
// ask for is known from the manifest, and the config of a cache, that it read first.
const (
	// aheadBytes is how much of what follows is fetched, in bytes.
	aheadBytes = windowMax * disk.ChunkSize
	// aheadLayers bounds how many of them there are.
	aheadLayers = 64
	// maxChains bounds the caches whose order is remembered, those whose manifests were opened last.
	maxChains = 8
)

// chain is the order in which the blobs of a manifest are read.
type chain struct {
	manifest digest.Digest
	next     map[digest.Digest]ocispec.Descriptor
	at       digest.Digest // the blob that was opened last
}

// chains are the manifests that clients have opened.
type chains struct {
	mu       sync.Mutex // guards following; a leaf
	recent   []*chain   // the newest first
	learning int        // how many of them are being read
}

// claim says whether the caller is to read the chain of a manifest that was opened, and then put it: nobody
// has, and not too many are at it.
func (c *chains) claim(manifest digest.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.learning == maxChains || slices.ContainsFunc(c.recent, func(ch *chain) bool { return ch.manifest == manifest }) {
		return false
	}
	c.learning++
	c.recent = slices.Insert(c.recent[:min(len(c.recent), maxChains-1)], 0, &chain{manifest: manifest})
	return true
}

func (c *chains) put(manifest digest.Digest, next map[digest.Digest]ocispec.Descriptor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learning--
	for _, ch := range c.recent {
		if ch.manifest == manifest {
			ch.next = next
		}
	}
}

// after lists the blobs that follow one that was opened; none if it was opened last before, too: a builder
// opens a layer anew for each piece that it reads.
func (c *chains) after(d digest.Digest) (following []ocispec.Descriptor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.recent {
		next, ok := ch.next[d]
		if !ok {
			continue
		}
		if ch.at == d {
			return nil
		}
		ch.at = d
		for ; ok && len(following) < aheadLayers; next, ok = ch.next[next.Digest] {
			following = append(following, next)
		}
		return following
	}
	return nil
}

// opened is told of every blob that a client opens.
func (e *Engine) opened(d digest.Digest, size int64) {
	if _, ok := e.catalog.named(d); ok && size <= maxManifest && e.guard.up() && e.chains.claim(d) {
		e.background.run(func() { e.learnChain(e.ctx, ocispec.Descriptor{Digest: d, Size: size}) })
	}
}

// learnChain reads in which order the blobs of a manifest are read. The config of a cache is read for that, which
// the client wants next.
func (e *Engine) learnChain(ctx context.Context, desc ocispec.Descriptor) {
	next, err := e.order(ctx, desc)
	if err != nil {
		e.log.Debug("nothing is fetched ahead", "manifest", desc.Digest, "err", err)
	}
	e.chains.put(desc.Digest, next)
}

func (e *Engine) order(ctx context.Context, desc ocispec.Descriptor) (map[digest.Digest]ocispec.Descriptor, error) {
	release, err := e.objects.alone(ctx, desc.Size)
	if err != nil {
		return nil, err
	}
	defer release()
	b, err := e.readBlob(ctx, desc)
	if err != nil {
		return nil, err
	}
	m, err := cacheconfig.ParseManifest(b)
	if err != nil {
		return nil, err
	}
	var config []byte
	if m.IsCache() {
		if config, err = e.readBlob(ctx, *m.Config); err != nil {
			return nil, err
		}
	}
	return m.Order(config)
}

// fetchAfter begins to fetch the layers that follow one of which all is here or on its way.
func (e *Engine) fetchAfter(d digest.Digest) {
	if following := e.chains.after(d); len(following) > 0 && e.guard.up() {
		e.background.run(func() { e.fetchAhead(d, following) })
	}
}

// fetchAhead fetches one layer after the other, so that none takes the link from one that is wanted sooner.
func (e *Engine) fetchAhead(d digest.Digest, following []ocispec.Descriptor) {
	var fetched []*download
	defer func() {
		for _, dl := range fetched {
			e.fetcher.release(dl)
		}
	}()
	if dl := e.fetcher.underWay(d); dl != nil {
		fetched = append(fetched, dl)
	}
	left := int64(aheadBytes)
	for _, next := range following {
		chunks := int(left / disk.ChunkSize) // of this one at most, which may be its beginning
		if chunks <= 0 {
			break
		}
		left -= next.Size
		if state := e.disk.Stat(next.Digest).State; state == disk.Warm || state == disk.Staged {
			continue
		}
		if n := len(fetched); n > 0 && !fetched[n-1].nearly(e.ctx) {
			return
		}
		dl, err := e.fetcher.acquire(next.Digest, next.Size)
		if err != nil {
			e.log.Debug("a layer is not fetched ahead", "blob", next.Digest, "err", err)
			return
		}
		fetched = append(fetched, dl)
		dl.ahead(chunks)
	}
	if n := len(fetched); n > 0 {
		fetched[n-1].nearly(e.ctx) // so long it must not be idle
	}
}
