package cacheconfig

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Layout is a layout that was synthesised: the bytes of manifest and config, the manifest's descriptor,
// and everything it needs, manifest and config first.
type Layout struct {
	Manifest, Config []byte
	Descriptor       ocispec.Descriptor
	Closure          []ocispec.Descriptor
	Timeless         bool // it does not say when its layers and results were made
}

// Import makes a layout of a CacheConfig that type=s3 wrote: an image manifest with the layers, each
// once, and the config without annotations, which would have to be carried twice. If it is larger than
// BuildKit imports all the same, the times go, too. The same content gives the same bytes.
//
// What BuildKit's importer fails on is an error here that names the layer or the record: missing
// annotations, a bad digest, an index that is out of range. Loops of layers or records are left to it.
func Import(cacheConfig []byte) (Layout, error) {
	fields, err := parse(cacheConfig)
	if err != nil {
		return Layout{}, err
	}
	layers, err := count(fields[fieldLayers])
	if err != nil {
		return Layout{}, fmt.Errorf("cache config: layers: %w", err)
	}
	if err := checkRecords(fields[fieldRecords], layers); err != nil {
		return Layout{}, err
	}
	descs := unique{at: map[digest.Digest]int{}}
	err = mapLayers(fields, func(blob digest.Digest, layer object) error {
		d, err := describe(blob, layer, layers)
		if err != nil {
			return err
		}
		descs.add(d)
		return nil
	})
	if err != nil {
		return Layout{}, err
	}
	l, err := assemble(fields, descs.list)
	if err != nil || !TooLarge(l.Descriptor.Size, int64(len(l.Config))) {
		return l, err
	}
	if err := dropTimes(fields, descs.list); err != nil {
		return Layout{}, err
	}
	l, err = assemble(fields, descs.list)
	l.Timeless = true
	return l, err
}

// unique holds descriptors in the order of their first occurrence. Of several for one digest the last
// counts, as for BuildKit's importer.
type unique struct {
	at   map[digest.Digest]int
	list []ocispec.Descriptor
}

func (u *unique) add(d ocispec.Descriptor) {
	if i, ok := u.at[d.Digest]; ok {
		u.list[i] = d
		return
	}
	u.at[d.Digest] = len(u.list)
	u.list = append(u.list, d)
}

// describe moves the annotations of a layer, one of n, into a descriptor, as BuildKit's importer of
// type=s3 does. Unknown annotations stay with the layer.
func describe(blob digest.Digest, layer object, n int) (ocispec.Descriptor, error) {
	if err := checkParent(layer[fieldParent], n); err != nil {
		return ocispec.Descriptor{}, err
	}
	var known *layerAnnotations
	raw, ok := layer[fieldAnnotations]
	if ok {
		if err := json.Unmarshal(raw, &known); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("annotations: %w", err)
		}
	}
	if known == nil {
		return ocispec.Descriptor{}, errors.New("has no annotations")
	}
	d, err := known.descriptor(blob)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return d, keepUnknown(layer, raw)
}

func checkParent(raw json.RawMessage, n int) error {
	if raw == nil {
		return nil
	}
	var parent int
	if err := json.Unmarshal(raw, &parent); err != nil {
		return fmt.Errorf("parent: %w", err)
	}
	if parent < -1 || parent >= n {
		return fmt.Errorf("parent %d of %d layers", parent, n)
	}
	return nil
}

func (a layerAnnotations) descriptor(blob digest.Digest) (ocispec.Descriptor, error) {
	if err := a.DiffID.Validate(); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("diffID %q: %w", a.DiffID, err)
	}
	if a.Size < 0 {
		return ocispec.Descriptor{}, fmt.Errorf("size %d is negative", a.Size)
	}
	d := ocispec.Descriptor{
		MediaType: ociLayerType(a.MediaType), Digest: blob, Size: a.Size,
		Annotations: map[string]string{annotationDiffID: a.DiffID.String()},
	}
	if !a.CreatedAt.IsZero() {
		text, err := a.CreatedAt.UTC().MarshalText()
		if err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("createdAt: %w", err)
		}
		d.Annotations[annotationCreatedAt] = string(text)
	}
	return d, nil
}

func keepUnknown(layer object, annotations json.RawMessage) error {
	delete(layer, fieldAnnotations)
	var unknown object
	if err := json.Unmarshal(annotations, &unknown); err != nil {
		return fmt.Errorf("annotations: %w", err)
	}
	dropKnown(unknown)
	if len(unknown) == 0 {
		return nil
	}
	var err error
	layer[fieldAnnotations], err = json.Marshal(unknown)
	return err
}

func assemble(fields object, layers []ocispec.Descriptor) (Layout, error) {
	b, err := json.Marshal(fields)
	if err != nil {
		return Layout{}, fmt.Errorf("write cache config: %w", err)
	}
	config, err := canonical(b)
	if err != nil {
		return Layout{}, fmt.Errorf("write cache config: %w", err)
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: layers}
	m.SchemaVersion = 2
	m.Config = ocispec.Descriptor{MediaType: MediaType, Digest: digest.FromBytes(config), Size: int64(len(config))}
	if m.Layers == nil {
		m.Layers = []ocispec.Descriptor{} // null is no array
	}
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
