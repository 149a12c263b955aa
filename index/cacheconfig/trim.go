package cacheconfig

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Trim is the manifest of a cache without the layers that are gone. BuildKit's importer passes over the
// results of a config whose layers the manifest does not name, and keeps the rest of the cache, while a
// layer that is named and not there fails the build. So the config stays as it is. The same content
// gives the same bytes.
func Trim(manifest []byte, gone func(digest.Digest) bool) ([]byte, error) {
	var fields object
	if err := json.Unmarshal(manifest, &fields); err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	for _, field := range []string{"layers", "manifests"} {
		raw, ok := fields[field]
		if !ok {
			continue
		}
		kept, err := without(raw, gone)
		if err != nil {
			return nil, fmt.Errorf("manifest: %s%w", field, err)
		}
		fields[field] = kept
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return b, nil
}

// without copies an array of descriptors but for those that are gone.
func without(raw json.RawMessage, gone func(digest.Digest) bool) (json.RawMessage, error) {
	out := []byte{'['}
	err := elements(raw, func(i int, dec *json.Decoder) error {
		var element json.RawMessage
		var d struct {
			Digest digest.Digest `json:"digest"`
		}
		err := dec.Decode(&element)
		if err == nil {
			err = json.Unmarshal(element, &d)
		}
		if err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
		if gone(d.Digest) {
			return nil
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, element...)
		return nil
	})
	return append(out, ']'), err
}
