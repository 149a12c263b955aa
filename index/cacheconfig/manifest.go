package cacheconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Manifest is a parsed manifest or index: what it names, and whether it is a BuildKit cache.
type Manifest struct {
	MediaType string               // as the document states it; may be empty
	Children  []ocispec.Descriptor // every blob that it names and that a layout should hold, each once; without the subject and what is only to be had from URLs
	Manifests []ocispec.Descriptor // the children that are manifests or indexes themselves, by their media type
	Layers    []ocispec.Descriptor // of a BuildKit cache: its layers, with their annotations
	Config    *ocispec.Descriptor  // of a BuildKit cache: its config; nil for anything else
}

// IsCache says whether the manifest is that of a BuildKit cache.
func (m Manifest) IsCache() bool { return m.Config != nil }

// IsManifest says whether b is a manifest or an index rather than any other blob. The media type is
// optional in OCI documents, so without one the shape decides: a manifest has a config with a digest,
// an index has manifests. (A CacheConfig has layers but no config; an image's config has a config
// without a digest.)
func IsManifest(b []byte) bool {
	var doc struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     string          `json:"mediaType"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        struct {
			Digest string `json:"digest"`
		} `json:"config"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return false
	}
	if doc.MediaType != "" {
		return slices.Contains(manifestTypes, doc.MediaType)
	}
	return doc.Config.Digest != "" || isList(doc.Manifests, doc.SchemaVersion)
}

// isList says whether the manifests of a document without media type are those of an index: there are
// many JSON documents with that word in them.
func isList(manifests json.RawMessage, schemaVersion int) bool {
	if len(manifests) == 0 || manifests[0] != '[' {
		return false
	}
	if schemaVersion == 2 {
		return true
	}
	described := false
	err := elements(manifests, func(i int, dec *json.Decoder) error {
		var d struct {
			Digest digest.Digest `json:"digest"`
		}
		if err := dec.Decode(&d); err != nil {
			return err
		}
		described = d.Digest != ""
		return errStop
	})
	return described && errors.Is(err, errStop)
}

var errStop = errors.New("seen enough")

// document is the union of all shapes of manifests.
type document struct {
	MediaType string          `json:"mediaType"`
	Config    json.RawMessage `json:"config"`
	Layers    json.RawMessage `json:"layers"`
	Blobs     json.RawMessage `json:"blobs"`
	Manifests json.RawMessage `json:"manifests"`
}

// ParseManifest parses an OCI or Docker manifest or index. Its errors name the field. A document that
// is several at once (BuildKit refuses it) has the children of all its shapes.
func ParseManifest(b []byte) (Manifest, error) {
	if !IsManifest(b) {
		return Manifest{}, errors.New("is neither a manifest nor an index")
	}
	var doc document
	if err := json.Unmarshal(b, &doc); err != nil {
		return Manifest{}, fmt.Errorf("parse manifest: %w", err)
	}
	m := Manifest{MediaType: doc.MediaType}
	if err := m.fill(doc); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

func (m *Manifest) fill(doc document) error {
	seen := map[digest.Digest]bool{}
	config, err := m.config(doc.Config, seen)
	if err != nil {
		return err
	}
	var layers, manifests []ocispec.Descriptor
	isCache := config != nil && config.MediaType == MediaType
	err = m.read("layers", doc.Layers, seen, func(d ocispec.Descriptor) {
		if isCache {
			layers = append(layers, d)
		}
	})
	if err == nil {
		err = m.read("blobs", doc.Blobs, seen, func(ocispec.Descriptor) {})
	}
	if err == nil {
		err = m.read("manifests", doc.Manifests, seen, func(d ocispec.Descriptor) { manifests = append(manifests, d) })
	}
	if isCache {
		m.Config, m.Layers = config, layers
	}
	m.cacheIndex(manifests)
	return err
}

// cacheIndex recognises a cache in the shape of an index: one of its entries is the config, the last
// as BuildKit writes it, any as BuildKit reads it.
func (m *Manifest) cacheIndex(manifests []ocispec.Descriptor) {
	isConfig := func(d ocispec.Descriptor) bool { return d.MediaType == MediaType }
	for _, d := range manifests {
		if isConfig(d) {
			m.Config = &d
		}
	}
	if slices.ContainsFunc(manifests, isConfig) {
		m.Layers = slices.DeleteFunc(manifests, isConfig)
	}
}

func (m *Manifest) config(raw json.RawMessage, seen map[digest.Digest]bool) (*ocispec.Descriptor, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var d ocispec.Descriptor
	err := json.Unmarshal(raw, &d)
	if err == nil {
		err = m.add(d, seen)
	}
	if err != nil {
		return nil, fmt.Errorf("manifest: config: %w", err)
	}
	return &d, nil
}

// read reads an array of descriptors into the children, and calls f with each.
func (m *Manifest) read(field string, raw json.RawMessage, seen map[digest.Digest]bool, f func(ocispec.Descriptor)) error {
	err := elements(raw, func(i int, dec *json.Decoder) error {
		var d ocispec.Descriptor
		err := dec.Decode(&d)
		if err == nil {
			err = m.add(d, seen)
		}
		if err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
		f(d)
		return nil
	})
	if err != nil {
		return fmt.Errorf("manifest: %s%w", field, err)
	}
	return nil
}

func (m *Manifest) add(d ocispec.Descriptor, seen map[digest.Digest]bool) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d.Digest, err)
	}
	if d.Size < 0 {
		return fmt.Errorf("%s: size %d is negative", d.Digest, d.Size)
	}
	if seen[d.Digest] || elsewhere(d) {
		return nil
	}
	seen[d.Digest] = true
	m.Children = append(m.Children, d)
	if slices.Contains(manifestTypes, d.MediaType) {
		m.Manifests = append(m.Manifests, d)
	}
	return nil
}
