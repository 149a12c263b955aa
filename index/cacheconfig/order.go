package cacheconfig

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Order tells what is read after which blob of a manifest. Of an image that is the next blob that it names. Of a
// cache, whose config is given, it is the layer that alone was built on a layer: where several were, it is not
// known which of them an import wants. Of a list of platforms a client reads one, and there is no order.
func (m Manifest) Order(config []byte) (map[digest.Digest]ocispec.Descriptor, error) {
	next := map[digest.Digest]ocispec.Descriptor{}
	if !m.IsCache() {
		for i := 1; i < len(m.Children) && len(m.Manifests) == 0; i++ {
			next[m.Children[i-1].Digest] = m.Children[i]
		}
		return next, nil
	}
	on, err := builtOn(config)
	if err != nil {
		return nil, err
	}
	for _, l := range m.Layers {
		if below, ok := on[l.Digest]; ok {
			if _, several := next[below]; several {
				l = ocispec.Descriptor{}
			}
			next[below] = l
		}
	}
	for below, l := range next {
		if l.Digest == "" {
			delete(next, below)
		}
	}
	return next, nil
}

// builtOn tells on which layer each layer of a config was built. One that was built on two counts as on none.
func builtOn(config []byte) (map[digest.Digest]digest.Digest, error) {
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
	on := map[digest.Digest]digest.Digest{}
	for i, l := range layers {
		if l.Parent < 0 || l.Parent >= len(layers) || l.Parent == i {
			continue
		}
		below := layers[l.Parent].Blob
		if other, ok := on[l.Blob]; ok && other != below {
			below = ""
		}
		on[l.Blob] = below
	}
	return on, err
}
