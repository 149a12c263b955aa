package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/inspect/layer"
	"github.com/layoutfs/layoutfs/inspect/records"
)

// The annotations of a layer in a layout's cache manifest.
const (
	annotationDiffID    = "containerd.io/uncompressed"
	annotationCreatedAt = "buildkit/createdat"
)

// Cache is a name that was read: a cache with its records, or one image.
type Cache struct {
	Name     Name
	Kind     Kind
	Manifest json.RawMessage
	Config   json.RawMessage      // of a cache the cache config, of an image the image's; nil if there is none
	Layers   []ocispec.Descriptor // each blob once, as the manifest lists them
	Graph    *records.Graph       // of a cache; else nil
	Closure  []ocispec.Descriptor

	src Source
}

// Read reads a name. Of an index, platform (such as linux/arm64) chooses the image; it can be empty if there
// is only one.
func Read(ctx context.Context, src Source, name, platform string) (*Cache, error) {
	n, err := src.Name(ctx, name)
	if err != nil {
		return nil, err
	}
	if n.Broken != "" {
		return nil, fmt.Errorf("name %q cannot be read: %s", name, n.Broken)
	}
	c := &Cache{Name: n, src: src}
	if c.Manifest, err = ReadBlob(ctx, src, n.Descriptor); err != nil {
		return nil, fmt.Errorf("name %q: %w", name, err)
	}
	if c.Closure, err = Closure(ctx, src, n); err != nil {
		return nil, err
	}
	c.Kind = kindOf(c.Closure)
	if err := c.parse(ctx, platform); err != nil {
		return nil, fmt.Errorf("name %q: %w", name, err)
	}
	return c, nil
}

func (c *Cache) parse(ctx context.Context, platform string) error {
	m, err := cacheconfig.ParseManifest(c.Manifest)
	if err != nil {
		return err
	}
	if m.IsCache() {
		c.Layers = m.Layers
		if c.Config, err = ReadBlob(ctx, c.src, *m.Config); err != nil {
			return err
		}
		c.Graph, err = records.Parse(c.Config)
		return err
	}
	if c.Kind == KindIndex {
		d, err := choose(c.Manifest, platform)
		if err != nil {
			return err
		}
		if c.Manifest, err = ReadBlob(ctx, c.src, d); err != nil {
			return err
		}
		c.Kind = KindImage
	}
	return c.image(ctx)
}

func (c *Cache) image(ctx context.Context) error {
	var m ocispec.Manifest
	if err := json.Unmarshal(c.Manifest, &m); err != nil {
		return fmt.Errorf("parse the manifest: %w", err)
	}
	c.Layers = m.Layers
	if m.Config.Digest == "" {
		return nil
	}
	b, err := ReadBlob(ctx, c.src, m.Config)
	if err == nil && json.Valid(b) {
		c.Config = b
	}
	return err
}

// choose finds the image of a platform in an index. Attestations, which BuildKit lists as images of an
// unknown platform, do not count.
func choose(index []byte, platform string) (ocispec.Descriptor, error) {
	var doc ocispec.Index
	if err := json.Unmarshal(index, &doc); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("parse the index: %w", err)
	}
	var names []string
	var fits []ocispec.Descriptor
	for _, d := range doc.Manifests {
		if p := platformOf(d); p != "unknown/unknown" {
			names = append(names, p)
			if platform == "" || p == platform {
				fits = append(fits, d)
			}
		}
	}
	switch {
	case len(fits) == 1:
		return fits[0], nil
	case platform == "":
		return ocispec.Descriptor{}, fmt.Errorf("it is of several platforms: choose one with --platform: %s", strings.Join(names, ", "))
	}
	return ocispec.Descriptor{}, fmt.Errorf("it has no image for %s; there are %s", platform, strings.Join(names, ", "))
}

func platformOf(d ocispec.Descriptor) string {
	if d.Platform == nil {
		return d.Digest.String()
	}
	p := d.Platform.OS + "/" + d.Platform.Architecture
	if d.Platform.Variant != "" {
		p += "/" + d.Platform.Variant
	}
	return p
}

// Layer is the layer of a digest, to be read.
func (c *Cache) Layer(d ocispec.Descriptor) *layer.Layer {
	return &layer.Layer{
		Digest: d.Digest, Size: d.Size, Annotations: d.Annotations,
		Open: func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
			return c.src.Open(ctx, d.Digest, off, n)
		},
	}
}

// ErrSeveral says that more is needed to choose one stack of layers.
var ErrSeveral = errors.New("there are several")

// Stack is a stack of layers, base first, of which a file system is made. which is the beginning of a digest:
// of a record, whose result it is then, or of a layer, with those below it. Empty, it is the image, or of a
// cache the result that nothing builds on.
func (c *Cache) Stack(which string) ([]ocispec.Descriptor, error) {
	if c.Graph == nil {
		return c.imageStack(which)
	}
	stacks := map[string][]int{}
	last := c.Graph.Last()
	note := func(chain []int) { stacks[fmt.Sprint(chain)] = chain }
	for i, r := range c.Graph.Records {
		res, ok := r.Newest()
		if ok && (which == "" && last[i] || matches(r.Digest, which)) {
			note(c.Graph.LayersOf(res))
		}
	}
	if which != "" {
		for i, l := range c.Graph.Layers {
			if matches(l.Blob, which) {
				note(c.Graph.Chain(i))
			}
		}
	}
	return c.onlyStack(which, stacks)
}

func (c *Cache) onlyStack(which string, stacks map[string][]int) ([]ocispec.Descriptor, error) {
	var tops []string
	for _, chain := range stacks {
		if len(stacks) == 1 {
			return c.describe(chain)
		}
		tops = append(tops, c.Graph.Layers[chain[len(chain)-1]].Blob.String())
	}
	slices.Sort(tops)
	switch {
	case len(stacks) == 0 && which == "":
		return nil, errors.New("it has no result: it is empty")
	case len(stacks) == 0:
		return nil, fmt.Errorf("no layer and no record of it begins with %q; `layoutfs tree` shows them", which)
	case which == "":
		return nil, fmt.Errorf("%w results that nothing builds on: choose a layer or a record, `layoutfs tree` shows them: %s", ErrSeveral, strings.Join(slices.Compact(tops), ", "))
	}
	return nil, fmt.Errorf("%w layers or records that begin with %q, or the layer is on several others: give more of the digest, or a record", ErrSeveral, which)
}

// matches says whether a digest begins so, with or without its algorithm.
func matches(d digest.Digest, which string) bool {
	return which != "" && (strings.HasPrefix(d.String(), which) || strings.HasPrefix(d.Encoded(), which))
}

// describe gives the descriptors of layers of the graph.
func (c *Cache) describe(chain []int) ([]ocispec.Descriptor, error) {
	var stack []ocispec.Descriptor
	for _, i := range chain {
		d, ok := c.descriptor(c.Graph.Layers[i].Blob)
		if !ok {
			return nil, fmt.Errorf("layer %s is in the config and not in the manifest", c.Graph.Layers[i].Blob)
		}
		stack = append(stack, d)
	}
	return stack, nil
}

func (c *Cache) descriptor(d digest.Digest) (ocispec.Descriptor, bool) {
	i := slices.IndexFunc(c.Layers, func(l ocispec.Descriptor) bool { return l.Digest == d })
	if i < 0 {
		return ocispec.Descriptor{}, false
	}
	return c.Layers[i], true
}

func (c *Cache) imageStack(which string) ([]ocispec.Descriptor, error) {
	if which == "" {
		return c.Layers, nil
	}
	for i, d := range slices.Backward(c.Layers) {
		if matches(d.Digest, which) {
			return c.Layers[:i+1], nil
		}
	}
	return nil, fmt.Errorf("no layer of it begins with %q; `layoutfs tree` shows them", which)
}

// CreatedAt is when BuildKit made a layer of a cache; zero if that is not known.
func CreatedAt(d ocispec.Descriptor) time.Time {
	t, err := time.Parse(time.RFC3339Nano, d.Annotations[annotationCreatedAt])
	if err != nil {
		return time.Time{}
	}
	return t
}
