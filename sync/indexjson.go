package sync

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/tag"
)

// entries are those of an index.json.
type entries struct {
	by   map[string]ocispec.Descriptor // by key
	keys []string                      // as they stand in the file
}

// last is the key of the last one: BuildKit appends what it puts.
func (e entries) last() (string, bool) {
	if len(e.keys) == 0 {
		return "", false
	}
	return e.keys[len(e.keys)-1], true
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
		idx.Manifests = append(idx.Manifests, tag.Shown(entries[key], key))
	}
	return json.Marshal(idx)
}

// parseIndex reads the entries of an index.json by key. Nothing at all is an empty index: that is
// what a client sees that created the file.
func parseIndex(b []byte) (entries, error) {
	es := entries{by: map[string]ocispec.Descriptor{}}
	if len(bytes.TrimSpace(b)) == 0 {
		return es, nil
	}
	var idx ocispec.Index
	if err := json.Unmarshal(b, &idx); err != nil {
		return entries{}, fmt.Errorf("parse index.json: %w", err)
	}
	for i, d := range idx.Manifests {
		if err := checkDescriptor(d); err != nil {
			return entries{}, fmt.Errorf("index.json: manifests[%d]: %w", i, err)
		}
		key := tag.Key(d)
		es.by[key] = d
		es.keys = append(es.keys, key)
	}
	return es, nil
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
	tagged  bool // it is removed because it had no tag and has one now
}

// diff lists what changed from was to is, in the order of the keys.
func diff(was, is entries) []change {
	var changes []change
	for _, key := range slices.Sorted(maps.Keys(is.by)) {
		if old, ok := was.by[key]; !ok || !sameDescriptor(old, is.by[key]) {
			changes = append(changes, change{key: key, desc: is.by[key]})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(was.by)) {
		if _, ok := is.by[key]; !ok {
			d := was.by[key]
			changes = append(changes, change{key: key, desc: d, removed: true, tagged: key == d.Digest.String() && is.has(d.Digest)})
		}
	}
	return changes
}

func (e entries) has(d digest.Digest) bool {
	for _, desc := range e.by {
		if desc.Digest == d {
			return true
		}
	}
	return false
}

func sameDescriptor(a, b ocispec.Descriptor) bool {
	return a.Digest == b.Digest && a.Size == b.Size && a.MediaType == b.MediaType &&
		maps.Equal(a.Annotations, b.Annotations)
}
