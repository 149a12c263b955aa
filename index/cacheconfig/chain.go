package cacheconfig

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Chain tells which layer of a cache follows which: the one that alone was built on it. Where several were, it
// is not known which of them an import reads next, and none follows.
func Chain(config []byte) (map[digest.Digest]digest.Digest, error) {
	fields, err := parse(config)
	if err != nil {
		return nil, err
	}
	type layer struct {
		Blob   digest.Digest `json:"blob"`
		Parent int           `json:"parent"` // below 0: none; BuildKit leaves out 0
	}
	var layers []layer
	err = elements(fields[fieldLayers], func(i int, dec *json.Decoder) error {
		var l layer
		if err := dec.Decode(&l); err != nil {
			return fmt.Errorf("cache config: layers[%d]: %w", i, err)
		}
		layers = append(layers, l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	next, several := map[digest.Digest]digest.Digest{}, map[digest.Digest]bool{}
	for i, l := range layers {
		if l.Parent < 0 || l.Parent >= len(layers) || l.Parent == i {
			continue
		}
		on := layers[l.Parent].Blob
		if other, ok := next[on]; ok && other != l.Blob {
			several[on] = true
		}
		next[on] = l.Blob
	}
	for on := range several {
		delete(next, on)
	}
	return next, nil
}
