package cacheconfig

import (
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxImport is the largest manifest or config of a layout that BuildKit imports with type=local, in bytes:
// readBlob in its cache/remotecache/import.go. With type=s3 there is no bound.
const MaxImport = 1 << 20

// TooLarge says whether BuildKit refuses to import a layout whose manifest and config have those sizes.
func TooLarge(manifest, config int64) bool { return manifest > MaxImport || config > MaxImport }

// fieldCreatedAt is when a result was made. Of two results for one step BuildKit prefers the younger one;
// it has no other use for it, and does without.
const fieldCreatedAt = "createdAt"

// dropTimes takes out of records and layers when they were made, which is a seventh of all.
func dropTimes(fields object, layers []ocispec.Descriptor) error {
	for _, l := range layers {
		delete(l.Annotations, annotationCreatedAt)
	}
	return mapObjects(fields, fieldRecords, func(record object) error {
		for _, results := range []string{"layers", "chains"} {
			err := mapObjects(record, results, func(result object) error {
				delete(result, fieldCreatedAt)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// mapObjects changes the objects in an array that is a field of an object, one after the other.
func mapObjects(fields object, field string, f func(object) error) error {
	raw, ok := fields[field]
	if !ok {
		return nil
	}
	out := []byte{'['}
	err := elements(raw, func(i int, dec *json.Decoder) error {
		var o object
		if err := dec.Decode(&o); err != nil {
			return err
		}
		if err := f(o); err != nil {
			return err
		}
		b, err := json.Marshal(o)
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, b...)
		return err
	})
	if err != nil {
		return fmt.Errorf("cache config: %s: %w", field, err)
	}
	fields[field] = append(out, ']')
	return nil
}
