// Package cacheconfig converts between the two shapes of a BuildKit cache: the layout's (a manifest
// that names the layers, and a config with the records) and that of type=s3 (one CacheConfig, whose
// layers carry annotations instead of descriptors). Functions from bytes to bytes: no I/O, no state.
//
// The format is BuildKit's: cache/remotecache/v1/types (CacheConfig), cache/remotecache/export.go (the
// layout's shapes) and cache/remotecache/s3 (the annotations). What is not understood is kept: records
// and unknown fields pass through as they are, so that the config of a newer BuildKit survives.
//
// Input comes from a bucket that anybody may have written. Nothing here panics on it, and memory is a
// small multiple of its size: arrays are read element by element, and a bad one ends the reading.
package cacheconfig

import (
	_ "crypto/sha256" // the algorithms that go-digest takes when they are there
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// MediaType is that of a cache config in a layout.
const MediaType = "application/vnd.buildkit.cacheconfig.v0"

// The annotations of a layer in a layout's cache manifest.
const (
	annotationDiffID    = "containerd.io/uncompressed"
	annotationCreatedAt = "buildkit/createdat"
)

// The fields of a CacheConfig and of its layers that are understood here.
const (
	fieldLayers      = "layers"
	fieldRecords     = "records"
	fieldBlob        = "blob"
	fieldParent      = "parent"
	fieldAnnotations = "annotations"
)

// layerAnnotations are those of a layer in the CacheConfig of type=s3. BuildKit writes createdAt even
// when it is zero.
type layerAnnotations struct {
	MediaType string        `json:"mediaType,omitempty"`
	DiffID    digest.Digest `json:"diffID,omitempty"`
	Size      int64         `json:"size,omitempty"` // bytes
	CreatedAt time.Time     `json:"createdAt"`
}

// annotationFields are the keys of layerAnnotations.
var annotationFields = []string{"mediaType", "diffID", "size", "createdAt"}

// Empty says whether the body of a name object is a CacheConfig without layers: of a build that had
// nothing to cache, or in place of an OCI image.
func Empty(config []byte) bool {
	fields, err := parse(config)
	if err != nil {
		return false
	}
	n, err := count(fields[fieldLayers])
	return err == nil && n == 0
}

func parse(config []byte) (object, error) {
	var fields object
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, fmt.Errorf("parse cache config: %w", err)
	}
	return fields, nil
}

// mapLayers replaces the layers of a CacheConfig, one after the other, by what f makes of them.
func mapLayers(fields object, f func(blob digest.Digest, layer object) error) error {
	raw, ok := fields[fieldLayers]
	if !ok {
		return nil
	}
	out := []byte{'['}
	err := elements(raw, func(i int, dec *json.Decoder) error {
		b, err := mapLayer(dec, f)
		if err != nil {
			return fmt.Errorf("cache config: layers[%d]: %w", i, err)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, b...)
		return nil
	})
	fields[fieldLayers] = append(out, ']')
	return err
}

func mapLayer(dec *json.Decoder, f func(digest.Digest, object) error) ([]byte, error) {
	var layer object
	if err := dec.Decode(&layer); err != nil {
		return nil, err
	}
	var blob digest.Digest
	if err := json.Unmarshal(layer[fieldBlob], &blob); err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	if err := blob.Validate(); err != nil {
		return nil, fmt.Errorf("blob %q: %w", blob, err)
	}
	if err := f(blob, layer); err != nil {
		return nil, fmt.Errorf("%s: %w", blob, err)
	}
	return json.Marshal(layer)
}
