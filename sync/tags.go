package sync

import (
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// latest is the tag that BuildKit writes when no tag= is given.
	latest = "latest"
	// annotationImageName is containerd's annotation for a whole image reference; BuildKit's image
	// exporter writes it beside the tag, and several entries may then share one tag.
	annotationImageName = "io.containerd.image.name"
)

// tags maps the entries of an index.json to names of the bucket and back. The key of an entry is what
// tells it apart in its index.json: the image name if it has one, else the tag, else (for an untagged
// entry) the digest.
type tags struct {
	configured []string // the names that the tag "latest" of the root layout stands for
}

func keyOf(d ocispec.Descriptor) string {
	if name := d.Annotations[annotationImageName]; name != "" {
		return name
	}
	if tag := d.Annotations[ocispec.AnnotationRefName]; tag != "" {
		return tag
	}
	return d.Digest.String()
}

// names lists the names that an entry with that key stands for in a scope.
func (t tags) names(scope, key string) []string {
	switch {
	case key == latest && scope == "":
		return t.configured
	case key == latest:
		return []string{scope}
	case scope == "":
		return []string{key}
	}
	return []string{scope + "/" + key}
}

// key is the inverse of names; ok is false when the scope does not show that name.
func (t tags) key(scope, name string) (key string, ok bool) {
	if scope == "" {
		if name == t.configured[0] {
			return latest, true
		}
		return name, name != latest
	}
	if name == scope {
		return latest, true
	}
	key, ok = strings.CutPrefix(name, scope+"/")
	return key, ok && key != latest && key != ""
}

// stored is the descriptor as the name object keeps it: the tag goes, because another mount may show
// the same name under another one, unless the entry is told apart by its image name.
func stored(d ocispec.Descriptor) ocispec.Descriptor {
	d.Annotations = maps.Clone(d.Annotations)
	if d.Annotations[annotationImageName] == "" {
		delete(d.Annotations, ocispec.AnnotationRefName)
	}
	if len(d.Annotations) == 0 {
		d.Annotations = nil
	}
	return d
}

// shown is the inverse of stored.
func shown(d ocispec.Descriptor, key string) ocispec.Descriptor {
	if d.Annotations[annotationImageName] != "" || key == d.Digest.String() {
		return d
	}
	d.Annotations = maps.Clone(d.Annotations)
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[ocispec.AnnotationRefName] = key
	return d
}

// children lists the directories directly below a scope that names need. A component that cannot be
// a directory's name, or that the layout has taken, is passed over: such names have their tag only.
func children(scope string, names []string) []string {
	seen := map[string]bool{}
	for _, name := range names {
		rest := name
		if scope != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(name, scope+"/"); !ok {
				continue
			}
		}
		first, _, _ := strings.Cut(rest, "/")
		if validComponent(first) {
			seen[first] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// maxComponent is NAME_MAX of Linux.
const maxComponent = 255

func validComponent(s string) bool {
	switch s {
	case "", ".", "..", ocispec.ImageBlobsDir, ocispec.ImageIndexFile, ocispec.ImageLayoutFile, "ingest":
		return false
	}
	// An untagged entry's name is its digest; a directory for it would be noise.
	if _, err := digest.Parse(s); err == nil {
		return false
	}
	return len(s) <= maxComponent && !strings.ContainsRune(s, 0)
}
