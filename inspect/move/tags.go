package move

import (
	"maps"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// latest is the tag that BuildKit writes when no tag= is given; in a mount's root, it is the name of the CSV.
	latest              = "latest"
	annotationImageName = "io.containerd.image.name"
)

// NamesOf lists what a tag of a plain layout is called in a bucket, as it is if one exports to the root of a
// mount. configured are the names of the CSV.
func NamesOf(tag string, configured []string) []string {
	if tag == latest {
		return configured
	}
	return []string{tag}
}

// TagOf is the inverse of NamesOf.
func TagOf(name string, configured []string) string {
	if name == configured[0] {
		return latest
	}
	return name
}

// tagged gives a descriptor a tag, unless an image name or its digest is what tells it apart.
func tagged(d *ocispec.Descriptor, tag string) {
	if d.Annotations[annotationImageName] != "" || digest.Digest(tag) == d.Digest {
		return
	}
	d.Annotations = maps.Clone(d.Annotations)
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[ocispec.AnnotationRefName] = tag
}

// sameEntry says whether two entries of an index.json stand for the same: the later one replaces the earlier.
func sameEntry(a, b ocispec.Descriptor) bool {
	for _, key := range []string{annotationImageName, ocispec.AnnotationRefName} {
		if a.Annotations[key] != "" || b.Annotations[key] != "" {
			return a.Annotations[key] == b.Annotations[key]
		}
	}
	return a.Digest == b.Digest
}
