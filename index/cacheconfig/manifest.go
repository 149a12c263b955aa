package cacheconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The media types of Docker's distribution manifests, schema 2, and of the short-lived OCI artifact manifest.
const (
	dockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
	artifactManifest   = "application/vnd.oci.artifact.manifest.v1+json"
)

var manifestTypes = []string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, dockerManifest, dockerManifestList, artifactManifest,
}

// Manifest is a parsed manifest or index: what it names, and whether it is a BuildKit cache.
type Manifest struct {
	MediaType string
	Children  []ocispec.Descriptor // every blob that it names and that a layout should hold, each once; without the subject
	Manifests []ocispec.Descriptor // the children that are manifests or indexes themselves
	Layers    []ocispec.Descriptor // of a BuildKit cache: its layers, with their annotations
	Config    *ocispec.Descriptor  // of a BuildKit cache: its config; nil for anything else
}

// IsCache says whether the manifest is that of a BuildKit cache.
func (m Manifest) IsCache() bool { return m.Config != nil }

// document is the union of all shapes of manifests.
type document struct {
	MediaType string               `json:"mediaType"`
	Manifests []ocispec.Descriptor `json:"manifests"`
	Config    *ocispec.Descriptor  `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Blobs     []ocispec.Descriptor `json:"blobs"`
}

// IsManifest says whether b is a manifest or an index rather than any other blob. The media type is
// optional in OCI documents, so without one the shape decides: an index has manifests, a manifest has a
// config with a digest. (A CacheConfig has layers but no config; an image's config has a config
// without a digest.)
func IsManifest(b []byte) bool {
	var doc struct {
		MediaType string          `json:"mediaType"`
		Manifests json.RawMessage `json:"manifests"`
		Config    struct {
			Digest string `json:"digest"`
		} `json:"config"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return false
	}
	if doc.MediaType != "" {
		return slices.Contains(manifestTypes, doc.MediaType)
	}
	return len(doc.Manifests) > 0 && doc.Manifests[0] == '[' || doc.Config.Digest != ""
}

// ParseManifest parses an OCI or Docker manifest or index. Its errors name the field.
func ParseManifest(b []byte) (Manifest, error) {
	if !IsManifest(b) {
		return Manifest{}, errors.New("is neither a manifest nor an index")
	}
	var doc document
	if err := json.Unmarshal(b, &doc); err != nil {
		return Manifest{}, fmt.Errorf("parse manifest: %w", err)
	}
	m := Manifest{MediaType: doc.MediaType}
	if doc.Config != nil && doc.Config.MediaType == MediaType {
		m.Config, m.Layers = doc.Config, doc.Layers
	}
	for i, d := range doc.Manifests {
		if d.MediaType == MediaType {
			m.Config = &doc.Manifests[i]
			m.Layers = slices.Concat(doc.Manifests[:i:i], doc.Manifests[i+1:])
		}
	}
	return m, m.collect(doc)
}

// collect fills in the children.
func (m *Manifest) collect(doc document) error {
	seen := map[digest.Digest]bool{}
	add := func(field string, ds ...ocispec.Descriptor) error {
		for i, d := range ds {
			if err := valid(d); err != nil {
				return fmt.Errorf("manifest: %s[%d]: %w", field, i, err)
			}
			if seen[d.Digest] || elsewhere(d) {
				continue
			}
			seen[d.Digest] = true
			m.Children = append(m.Children, d)
			if slices.Contains(manifestTypes, d.MediaType) {
				m.Manifests = append(m.Manifests, d)
			}
		}
		return nil
	}
	if doc.Config != nil {
		if err := add("config", *doc.Config); err != nil {
			return err
		}
	}
	return errors.Join(add("layers", doc.Layers...), add("blobs", doc.Blobs...), add("manifests", doc.Manifests...))
}

func valid(d ocispec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d.Digest, err)
	}
	if d.Size < 0 {
		return fmt.Errorf("%s: size %d is negative", d.Digest, d.Size)
	}
	return nil
}

// layerTypes are Docker's media types of layers and OCI's for the same. type=s3 writes OCI's always.
var layerTypes = map[string]string{
	"application/vnd.docker.image.rootfs.diff.tar":              ocispec.MediaTypeImageLayer,
	"application/vnd.docker.image.rootfs.diff.tar.gzip":         ocispec.MediaTypeImageLayerGzip,
	"application/vnd.docker.image.rootfs.diff.tar.zstd":         ocispec.MediaTypeImageLayerZstd,
	"application/vnd.docker.image.rootfs.foreign.diff.tar":      "application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
}

func ociLayerType(mediaType string) string {
	if oci, ok := layerTypes[mediaType]; ok {
		return oci
	}
	return mediaType
}

var foreignTypes = []string{
	"application/vnd.docker.image.rootfs.foreign.diff.tar",
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
}

// elsewhere says whether a blob is to be had from its URLs and usually not copied into a layout.
func elsewhere(d ocispec.Descriptor) bool {
	return len(d.URLs) > 0 && slices.Contains(foreignTypes, d.MediaType)
}
