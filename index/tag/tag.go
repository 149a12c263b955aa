// Package tag is about what tells an entry of an index.json from the others, and how that is called in a bucket. It is
// pure functions.
package tag

import (
	"cmp"
	"maps"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Latest is the tag that BuildKit writes when no tag= is given.
const Latest = "latest"

// imageName is containerd's annotation for a whole image reference; BuildKit's image exporter writes it beside the tag,
// and several entries may then share one tag:
// https://github.com/containerd/containerd/blob/v2.2.0/core/images/annotations.go.
const imageName = "io.containerd.image.name"

// Key is what tells an entry apart: the image name if it has one, else the tag, else (for an untagged entry) the
// digest. Of two entries with one key the later one counts.
func Key(d ocispec.Descriptor) string {
	return cmp.Or(d.Annotations[imageName], d.Annotations[ocispec.AnnotationRefName], d.Digest.String())
}

// Stored is the entry as a name object keeps it: the tag goes, because another layout may show the same name under
// another one, unless the entry is told apart by its image name.
func Stored(d ocispec.Descriptor) ocispec.Descriptor {
	d.Annotations = maps.Clone(d.Annotations)
	if d.Annotations[imageName] == "" {
		delete(d.Annotations, ocispec.AnnotationRefName)
	}
	if len(d.Annotations) == 0 {
		d.Annotations = nil
	}
	return d
}

// Shown is the inverse of Stored: the entry with that key.
func Shown(d ocispec.Descriptor, key string) ocispec.Descriptor {
	if d.Annotations[imageName] != "" || digest.Digest(key) == d.Digest {
		return d
	}
	d.Annotations = maps.Clone(d.Annotations)
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[ocispec.AnnotationRefName] = key
	return d
}
