package inspect

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/inspect/layer"
	"github.com/layoutfs/layoutfs/inspect/records"
)

// Diff is in what two names differ. The JSON names are stable; sizes are in bytes.
type Diff struct {
	A       string          `json:"a"`
	B       string          `json:"b"`
	Blobs   DiffCount       `json:"blobs"`             // of everything that they reach
	Layers  DiffCount       `json:"layers"`            // of these
	Records *DiffCount      `json:"records,omitempty"` // of two caches; bytes are none
	OnlyA   []DocumentLayer `json:"layers_only_a"`
	OnlyB   []DocumentLayer `json:"layers_only_b"`
	// RecordsOnlyA and RecordsOnlyB are records by which a builder finds nothing in the other.
	RecordsOnlyA []DocumentRecord `json:"records_only_a,omitempty"`
	RecordsOnlyB []DocumentRecord `json:"records_only_b,omitempty"`
	Files        []FileChange     `json:"files,omitempty"` // in the layers that only one has
}

// DiffCount counts what is in one, in the other and in both.
type DiffCount struct {
	OnlyA Count `json:"only_a"`
	OnlyB Count `json:"only_b"`
	Both  Count `json:"both"`
}

// FileChange is a path that is not in both what it is in one.
type FileChange struct {
	Path   string `json:"path"`
	Change Change `json:"change"`
	SizeA  int64  `json:"size_a"` // 0 if there is none
	SizeB  int64  `json:"size_b"`
}

// Change says how a file differs.
type Change string

// The changes.
const (
	Added    Change = "added"    // only B has it
	Removed  Change = "removed"  // only A has it
	Content  Change = "content"  // its content differs
	Metadata Change = "metadata" // its mode, owner or link does
)

// Compare finds in what two names differ. With files, the layers that only one of them has are read.
func Compare(ctx context.Context, a, b *Cache, files bool) (*Diff, error) {
	d := &Diff{A: a.Name.Name, B: b.Name.Name, OnlyA: []DocumentLayer{}, OnlyB: []DocumentLayer{}}
	d.Blobs = countDiff(a.Closure, b.Closure)
	d.Layers = countDiff(a.Layers, b.Layers)
	onlyA, onlyB := without(a.Layers, b.Layers), without(b.Layers, a.Layers)
	d.OnlyA, d.OnlyB = a.layersOf(onlyA), b.layersOf(onlyB)
	if a.Graph != nil && b.Graph != nil {
		d.compareRecords(a, b)
	}
	if !files {
		return d, nil
	}
	filesA, err := a.contents(ctx, onlyA)
	if err != nil {
		return nil, err
	}
	filesB, err := b.contents(ctx, onlyB)
	if err != nil {
		return nil, err
	}
	d.Files = compareFiles(filesA, filesB)
	return d, nil
}

func countDiff(a, b []ocispec.Descriptor) DiffCount {
	var c DiffCount
	inB := map[digest.Digest]bool{}
	for _, d := range b {
		inB[d.Digest] = true
	}
	inA := map[digest.Digest]bool{}
	for _, d := range a {
		if inA[d.Digest] {
			continue
		}
		inA[d.Digest] = true
		if inB[d.Digest] {
			c.Both.add(d.Size)
		} else {
			c.OnlyA.add(d.Size)
		}
	}
	for _, d := range b {
		if inB[d.Digest] && !inA[d.Digest] {
			inB[d.Digest] = false // once
			c.OnlyB.add(d.Size)
		}
	}
	return c
}

// without lists the descriptors of a that b has not.
func without(a, b []ocispec.Descriptor) []ocispec.Descriptor {
	has := map[digest.Digest]bool{}
	for _, d := range b {
		has[d.Digest] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(d ocispec.Descriptor) bool { return has[d.Digest] })
}

func (c *Cache) layersOf(some []ocispec.Descriptor) []DocumentLayer {
	out := []DocumentLayer{}
	on := c.on()
	for _, d := range some {
		out = append(out, DocumentLayer{
			Digest: d.Digest, Size: d.Size, MediaType: d.MediaType,
			DiffID: digest.Digest(d.Annotations[annotationDiffID]), CreatedAt: CreatedAt(d), On: on[d.Digest],
		})
	}
	return out
}

// compareRecords finds the records that the other does not have, as a builder would find them.
func (d *Diff) compareRecords(a, b *Cache) {
	m := records.Compare(a.Graph, b.Graph)
	d.Records = &DiffCount{}
	kinds := a.Graph.Kinds()
	for i := range a.Graph.Records {
		if m.Lost(i) {
			d.Records.OnlyA.Blobs++
			d.RecordsOnlyA = append(d.RecordsOnlyA, a.record(i, kinds[i]))
		}
	}
	kinds = b.Graph.Kinds()
	for i := range b.Graph.Records {
		if m.Known(i) {
			d.Records.Both.Blobs++
		} else {
			d.Records.OnlyB.Blobs++
			d.RecordsOnlyB = append(d.RecordsOnlyB, b.record(i, kinds[i]))
		}
	}
}

// contents lists the files of layers, by path; of several layers with the same path the last counts.
func (c *Cache) contents(ctx context.Context, layers []ocispec.Descriptor) (map[string]layer.Entry, error) {
	files := map[string]layer.Entry{}
	for _, d := range layers {
		for e, err := range c.Layer(d).Entries(ctx, layer.Options{Hash: true}) {
			if err != nil {
				return nil, err
			}
			if e.Hides == layer.Nothing && !e.Mode.IsDir() {
				files[e.Path] = e
			}
		}
	}
	return files, nil
}

func compareFiles(a, b map[string]layer.Entry) []FileChange {
	var changes []FileChange
	for path, was := range a {
		is, ok := b[path]
		switch {
		case !ok:
			changes = append(changes, FileChange{Path: path, Change: Removed, SizeA: was.Size})
		case was.Digest != is.Digest || was.Size != is.Size:
			changes = append(changes, FileChange{Path: path, Change: Content, SizeA: was.Size, SizeB: is.Size})
		case was.Mode != is.Mode || was.UID != is.UID || was.GID != is.GID || was.Link != is.Link || was.Hard != is.Hard:
			changes = append(changes, FileChange{Path: path, Change: Metadata, SizeA: was.Size, SizeB: is.Size})
		}
	}
	for path, is := range b {
		if _, ok := a[path]; !ok {
			changes = append(changes, FileChange{Path: path, Change: Added, SizeB: is.Size})
		}
	}
	slices.SortFunc(changes, func(x, y FileChange) int { return comparePaths(x.Path, y.Path) })
	return changes
}
