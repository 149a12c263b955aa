// Package cacheconfig converts between the two shapes of a BuildKit cache: the layout's (a manifest
// that names the layers, and a config with the records) and that of type=s3 (one CacheConfig, whose
// layers carry annotations instead of descriptors). Functions from bytes to bytes: no I/O, no state.
//
// The format is BuildKit's: cache/remotecache/v1/types (CacheConfig), cache/remotecache/export.go (the
// layout's shapes) and cache/remotecache/s3 (the annotations). What is not understood is kept: records
// and unknown fields pass through as they are, so that the config of a newer BuildKit survives.
//
// Input comes from a bucket that anybody may have written: nothing here panics on it, and memory is
// a small multiple of its size.
package cacheconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MediaType is that of a cache config in a layout.
const MediaType = "application/vnd.buildkit.cacheconfig.v0"

// The annotations of a layer in a layout's cache manifest, and the fields of a CacheConfig.
const (
	annotationDiffID    = "containerd.io/uncompressed"
	annotationCreatedAt = "buildkit/createdat"

	fieldLayers      = "layers"
	fieldBlob        = "blob"
	fieldParent      = "parent"
	fieldAnnotations = "annotations"
)

// object is a JSON object whose unknown fields are kept.
type object map[string]json.RawMessage

// layerAnnotations are those of a layer in the CacheConfig of type=s3. BuildKit writes createdAt even
// when it is zero.
type layerAnnotations struct {
	MediaType string        `json:"mediaType,omitempty"`
	DiffID    digest.Digest `json:"diffID,omitempty"`
	Size      int64         `json:"size,omitempty"`
	CreatedAt time.Time     `json:"createdAt"`
}

// parse splits a CacheConfig into its fields and its layers.
func parse(config []byte) (object, []object, error) {
	var fields object
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, nil, fmt.Errorf("parse cache config: %w", err)
	}
	var layers []object
	if raw, ok := fields[fieldLayers]; ok {
		if err := json.Unmarshal(raw, &layers); err != nil {
			return nil, nil, fmt.Errorf("parse cache config: layers: %w", err)
		}
	}
	for i, l := range layers {
		if l == nil {
			return nil, nil, fmt.Errorf("parse cache config: layers[%d] is null", i)
		}
	}
	return fields, layers, nil
}

// render puts the layers back. The keys of the objects come out in order, so equal content has equal bytes.
func render(fields object, layers []object) ([]byte, error) {
	if len(layers) > 0 {
		raw, err := json.Marshal(layers)
		if err != nil {
			return nil, fmt.Errorf("write cache config: %w", err)
		}
		fields[fieldLayers] = raw
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("write cache config: %w", err)
	}
	return b, nil
}

func (l object) blob() (digest.Digest, error) {
	var d digest.Digest
	if err := json.Unmarshal(l[fieldBlob], &d); err != nil {
		return "", fmt.Errorf("blob: %w", err)
	}
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("blob %q: %w", d, err)
	}
	return d, nil
}

// Empty says whether the body of a name object is a CacheConfig without layers: of a build that had
// nothing to cache, or in place of an OCI image.
func Empty(config []byte) bool {
	_, layers, err := parse(config)
	return err == nil && len(layers) == 0
}

// Export makes the CacheConfig that type=s3 writes for the same cache: the layout's config with each
// layer's descriptor as annotations. An error names the layer that lacks what type=s3 needs.
func Export(m Manifest, config []byte) ([]byte, error) {
	fields, layers, err := parse(config)
	if err != nil {
		return nil, err
	}
	described := map[digest.Digest]ocispec.Descriptor{}
	for _, d := range m.Layers {
		described[d.Digest] = d
	}
	for i, l := range layers {
		blob, err := l.blob()
		if err != nil {
			return nil, fmt.Errorf("cache config: layers[%d]: %w", i, err)
		}
		desc, ok := described[blob]
		if !ok {
			return nil, fmt.Errorf("cache config: layers[%d]: %s is not in the manifest", i, blob)
		}
		if l[fieldAnnotations], err = annotate(desc); err != nil {
			return nil, fmt.Errorf("cache config: layers[%d]: %s: %w", i, blob, err)
		}
	}
	return render(fields, layers)
}

func annotate(d ocispec.Descriptor) (json.RawMessage, error) {
	diffID, err := digest.Parse(d.Annotations[annotationDiffID])
	if err != nil {
		return nil, fmt.Errorf("annotation %s: %w", annotationDiffID, err)
	}
	a := layerAnnotations{MediaType: ociLayerType(d.MediaType), DiffID: diffID, Size: d.Size}
	if v, ok := d.Annotations[annotationCreatedAt]; ok {
		if err := a.CreatedAt.UnmarshalText([]byte(v)); err != nil {
			return nil, fmt.Errorf("annotation %s: %w", annotationCreatedAt, err)
		}
		a.CreatedAt = a.CreatedAt.UTC()
	}
	return json.Marshal(a)
}

// Layout is a layout that was synthesised: the bytes of manifest and config, the manifest's descriptor,
// and everything it needs, manifest and config first.
type Layout struct {
	Manifest, Config []byte
	Descriptor       ocispec.Descriptor
	Closure          []ocispec.Descriptor
}

// Import makes a layout of a CacheConfig that type=s3 wrote: an image manifest with the layers, each
// once, and the config without annotations, which would have to be carried twice (BuildKit's local
// importer refuses a manifest or config above 1 MiB). The same content gives the same bytes. An error
// names the layer that cannot be imported.
func Import(cacheConfig []byte) (Layout, error) {
	fields, layers, err := parse(cacheConfig)
	if err != nil {
		return Layout{}, err
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	seen := map[digest.Digest]bool{}
	for i, l := range layers {
		desc, err := describe(l, len(layers))
		if err != nil {
			return Layout{}, fmt.Errorf("cache config: layers[%d]: %w", i, err)
		}
		if !seen[desc.Digest] {
			seen[desc.Digest] = true
			m.Layers = append(m.Layers, desc)
		}
		delete(l, fieldAnnotations)
	}
	config, err := render(fields, layers)
	if err != nil {
		return Layout{}, err
	}
	if config, err = canonical(config); err != nil {
		return Layout{}, err
	}
	return assemble(m, config)
}

// describe makes the descriptor of a layer of n from its annotations, as BuildKit's importer of type=s3 does.
func describe(l object, n int) (ocispec.Descriptor, error) {
	blob, err := l.blob()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	var parent int
	if raw, ok := l[fieldParent]; ok {
		if err := json.Unmarshal(raw, &parent); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("%s: parent: %w", blob, err)
		}
	}
	if parent < -1 || parent >= n {
		return ocispec.Descriptor{}, fmt.Errorf("%s: parent %d of %d layers", blob, parent, n)
	}
	var a *layerAnnotations
	if err := json.Unmarshal(l[fieldAnnotations], &a); err != nil || a == nil {
		return ocispec.Descriptor{}, fmt.Errorf("%s has no annotations", blob)
	}
	if err := a.DiffID.Validate(); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%s: diffID %q: %w", blob, a.DiffID, err)
	}
	if a.Size < 0 {
		return ocispec.Descriptor{}, fmt.Errorf("%s: size %d is negative", blob, a.Size)
	}
	d := ocispec.Descriptor{
		MediaType: a.MediaType, Digest: blob, Size: a.Size,
		Annotations: map[string]string{annotationDiffID: a.DiffID.String()},
	}
	if !a.CreatedAt.IsZero() {
		txt, err := a.CreatedAt.MarshalText()
		if err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("%s: createdAt: %w", blob, err)
		}
		d.Annotations[annotationCreatedAt] = string(txt)
	}
	return d, nil
}

// canonical orders the keys of all objects and drops white space. Numbers stay as they are written.
func canonical(b []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("write cache config: %w", err)
	}
	return json.Marshal(v)
}

func assemble(m ocispec.Manifest, config []byte) (Layout, error) {
	m.Config = ocispec.Descriptor{MediaType: MediaType, Digest: digest.FromBytes(config), Size: int64(len(config))}
	manifest, err := json.Marshal(m)
	if err != nil {
		return Layout{}, fmt.Errorf("write cache manifest: %w", err)
	}
	l := Layout{Manifest: manifest, Config: config, Descriptor: ocispec.Descriptor{
		MediaType: m.MediaType, Digest: digest.FromBytes(manifest), Size: int64(len(manifest)),
	}}
	l.Closure = append([]ocispec.Descriptor{l.Descriptor, m.Config}, m.Layers...)
	return l, nil
}
