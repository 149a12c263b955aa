package cacheconfig

import (
	"slices"

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

// The media types of layers that may not be distributed, of Docker and of OCI.
const (
	dockerForeign     = "application/vnd.docker.image.rootfs.foreign.diff.tar"
	dockerForeignGzip = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	ociForeign        = "application/vnd.oci.image.layer.nondistributable.v1.tar"
	ociForeignGzip    = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
	ociForeignZstd    = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
)

var foreignTypes = []string{dockerForeign, dockerForeignGzip, ociForeign, ociForeignGzip, ociForeignZstd}

// layerTypes are Docker's media types of layers and OCI's for the same, as in BuildKit's
// util/compression. type=s3 writes OCI's always.
var layerTypes = map[string]string{
	"application/vnd.docker.image.rootfs.diff.tar":      ocispec.MediaTypeImageLayer,
	"application/vnd.docker.image.rootfs.diff.tar.gzip": ocispec.MediaTypeImageLayerGzip,
	"application/vnd.docker.image.rootfs.diff.tar.zstd": ocispec.MediaTypeImageLayerZstd,
	dockerForeign:     ociForeign,
	dockerForeignGzip: ociForeignGzip,
}

func ociLayerType(mediaType string) string {
	if oci, ok := layerTypes[mediaType]; ok {
		return oci
	}
	return mediaType
}

// elsewhere says whether a blob is to be had from its URLs and usually not copied into a layout.
func elsewhere(d ocispec.Descriptor) bool {
	return len(d.URLs) > 0 && slices.Contains(foreignTypes, d.MediaType)
}

// IsManifestType says whether a media type is that of a manifest or an index.
func IsManifestType(mediaType string) bool { return slices.Contains(manifestTypes, mediaType) }
