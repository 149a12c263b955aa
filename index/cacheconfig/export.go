package cacheconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Export makes the CacheConfig that type=s3 writes for the same cache: the layout's config with each
// layer's descriptor as annotations. An error names the layer that lacks what type=s3 needs.
func Export(m Manifest, config []byte) ([]byte, error) {
	fields, err := parse(config)
	if err != nil {
		return nil, err
	}
	described := map[digest.Digest]ocispec.Descriptor{}
	for _, d := range m.Layers {
		described[d.Digest] = d
	}
	err = mapLayers(fields, func(blob digest.Digest, layer object) error {
		d, ok := described[blob]
		if !ok {
			return errors.New("is not in the manifest")
		}
		return annotate(layer, d)
	})
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("write cache config: %w", err)
	}
	return b, nil
}

// annotate gives a layer the annotations that type=s3 reads, beside unknown ones that it may have.
func annotate(layer object, d ocispec.Descriptor) error {
	a, err := annotationsOf(d)
	if err != nil {
		return err
	}
	known, err := json.Marshal(a)
	if err != nil {
		return err
	}
	var merged, all object
	if err := json.Unmarshal(known, &all); err != nil {
		return err
	}
	if raw, ok := layer[fieldAnnotations]; ok && string(raw) != "null" {
		if err := json.Unmarshal(raw, &merged); err != nil {
			return fmt.Errorf("annotations: %w", err)
		}
		dropKnown(merged)
		maps.Copy(all, merged)
	}
	layer[fieldAnnotations], err = json.Marshal(all)
	return err
}

func annotationsOf(d ocispec.Descriptor) (layerAnnotations, error) {
	diffID, err := digest.Parse(d.Annotations[annotationDiffID])
	if err != nil {
		return layerAnnotations{}, fmt.Errorf("annotation %s %q: %w", annotationDiffID, d.Annotations[annotationDiffID], err)
	}
	a := layerAnnotations{MediaType: ociLayerType(d.MediaType), DiffID: diffID, Size: d.Size}
	if v, ok := d.Annotations[annotationCreatedAt]; ok {
		if err := a.CreatedAt.UnmarshalText([]byte(v)); err != nil {
			return layerAnnotations{}, fmt.Errorf("annotation %s: %w", annotationCreatedAt, err)
		}
		a.CreatedAt = a.CreatedAt.UTC()
	}
	return a, nil
}

func dropKnown(annotations object) {
	for _, f := range annotationFields {
		delete(annotations, f)
	}
}
