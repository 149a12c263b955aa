package sync

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
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

// renderIndex makes an index.json of entries, in the order of their keys so that the same content has
// the same bytes.
func renderIndex(entries map[string]ocispec.Descriptor) ([]byte, error) {
	idx := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		idx.Manifests = append(idx.Manifests, shown(entries[key], key))
	}
	return json.Marshal(idx)
}

// parseIndex reads the entries of an index.json by key. Nothing at all is an empty index: that is
// what a client sees that created the file.
func parseIndex(b []byte) (map[string]ocispec.Descriptor, error) {
	entries := map[string]ocispec.Descriptor{}
	if len(bytes.TrimSpace(b)) == 0 {
		return entries, nil
	}
	var idx ocispec.Index
	if err := json.Unmarshal(b, &idx); err != nil {
		return nil, fmt.Errorf("parse index.json: %w", err)
	}
	for i, d := range idx.Manifests {
		if err := checkDescriptor(d); err != nil {
			return nil, fmt.Errorf("index.json: manifests[%d]: %w", i, err)
		}
		entries[keyOf(d)] = d
	}
	return entries, nil
}

func checkDescriptor(d ocispec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d.Digest, err)
	}
	if d.Size < 0 {
		return fmt.Errorf("size %d of %s is negative", d.Size, d.Digest)
	}
	return nil
}

// change is what a writer of an index.json did to one entry.
type change struct {
	key     string
	desc    ocispec.Descriptor
	removed bool
}

// diffIndex lists what changed from before to after, in the order of the keys.
func diffIndex(before, after []byte) ([]change, error) {
	was, err := parseIndex(before)
	if err != nil {
		return nil, err
	}
	is, err := parseIndex(after)
	if err != nil {
		return nil, err
	}
	var changes []change
	for _, key := range slices.Sorted(maps.Keys(is)) {
		if old, ok := was[key]; !ok || !sameDescriptor(old, is[key]) {
			changes = append(changes, change{key: key, desc: is[key]})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(was)) {
		if _, ok := is[key]; !ok {
			changes = append(changes, change{key: key, desc: was[key], removed: true})
		}
	}
	return changes, nil
}

func sameDescriptor(a, b ocispec.Descriptor) bool {
	return a.Digest == b.Digest && a.Size == b.Size && a.MediaType == b.MediaType &&
		maps.Equal(a.Annotations, b.Annotations)
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
