// Package cacheconfig converts between a layout's cache manifest and the CacheConfig of BuildKit's
// type=s3. Pure functions.
package cacheconfig

import (
	"errors"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var errStub = errors.New("not built yet")

// MediaType of BuildKit's cache config.
const MediaType = "application/vnd.buildkit.cacheconfig.v0"

// Manifest is a parsed manifest or index: what it names, and whether it is a BuildKit cache.
type Manifest struct {
	MediaType string
	Children  []ocispec.Descriptor // every descriptor that it names: config, layers, manifests, subject excluded; deduplicated by digest
	Manifests []ocispec.Descriptor // the children that are themselves manifests or indexes (by media type)
	Layers    []ocispec.Descriptor // of a BuildKit cache: the layers with their annotations
	Config    *ocispec.Descriptor  // of a BuildKit cache: the cache config; nil for anything else
}

// IsCache says whether the manifest is a BuildKit cache.
func (m Manifest) IsCache() bool { return m.Config != nil }

// IsManifest tells cheaply whether b is an OCI or Docker manifest or index (media type or shape, as
// BuildKit's imageutil.DetectManifestBlobMediaType infers it), as opposed to any other blob.
func IsManifest(b []byte) bool { return false }

// ParseManifest parses any OCI or Docker image manifest or index. Its errors name the field.
func ParseManifest(b []byte) (Manifest, error) { return Manifest{}, errStub }

// Export makes the CacheConfig that type=s3 would have written from a parsed cache manifest and
// the bytes of its config.
func Export(m Manifest, config []byte) ([]byte, error) { return nil, errStub }

// Layout is a synthesised layout of a CacheConfig: an image manifest, its config, and their descriptors.
type Layout struct {
	Manifest, Config []byte
	Descriptor       ocispec.Descriptor // of Manifest
	Closure          []ocispec.Descriptor
}

// Import makes a layout from a CacheConfig, deterministically and compactly.
func Import(cacheConfig []byte) (Layout, error) { return Layout{}, errStub }

// Empty says whether a name object's body is an empty CacheConfig ({}), which is what stands in for
// an OCI image.
func Empty(cacheConfig []byte) bool { return false }
