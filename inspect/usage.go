package inspect

import (
	"cmp"
	"context"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Usage says what takes room. The JSON names are stable; sizes are in bytes, and each blob counts once.
type Usage struct {
	Names        []NameUsage `json:"names"`
	Reached      Count       `json:"reached"`      // by any name
	Shared       Count       `json:"shared"`       // by several
	Unreferenced Count       `json:"unreferenced"` // there, and reached by no name
	Missing      Count       `json:"missing"`      // reached, and not there
	Total        Count       `json:"total"`        // there
}

// NameUsage is what one name takes.
type NameUsage struct {
	Name   string `json:"name"`
	Total  Count  `json:"total"`            // that it reaches
	Unique Count  `json:"unique"`           // of that, what no other name reaches: what goes with it
	Shared Count  `json:"shared"`           // of that, the rest
	Broken string `json:"broken,omitempty"` // why nothing is known of it
}

// Count is a number of blobs and their bytes.
type Count struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

func (c *Count) add(size int64) {
	c.Blobs++
	c.Bytes += size
}

// table holds what names reach: each blob once, by number.
type table struct {
	at    map[key]int32
	size  []int64
	users []int32 // how many names reach it
	made  []bool  // it is synthesised
}

// number is that of a blob; a new one is added.
func (t *table) number(d ocispec.Descriptor) int32 {
	k := keyOf(d.Digest)
	n, ok := t.at[k]
	if !ok {
		n = int32(len(t.size))
		t.at[k] = n
		t.size = append(t.size, d.Size)
		t.users = append(t.users, 0)
		t.made = append(t.made, false)
	}
	return n
}

// names reads every name into the table, and lists the blobs of each.
func (t *table) names(ctx context.Context, src Source) (names []read, blobs [][]int32, err error) {
	found := make(chan read)
	failed := make(chan error, 1)
	go func() {
		defer close(found)
		failed <- readNames(ctx, src, func(string) bool { return true }, found)
	}()
	for r := range found {
		var of []int32
		for i, d := range r.closure {
			n := t.number(d)
			t.users[n]++
			t.made[n] = t.made[n] || r.name.Synthetic && i < 2
			of = append(of, n)
		}
		r.closure = nil // of which there may be a million
		names, blobs = append(names, r), append(blobs, of)
	}
	return names, blobs, <-failed
}

// DiskUsage works out what each name of a source takes. Names that cannot be read have a Broken; what they
// reach then counts as unreferenced.
func DiskUsage(ctx context.Context, src Source) (*Usage, error) {
	t := &table{at: map[key]int32{}}
	names, blobs, err := t.names(ctx, src)
	if err != nil {
		return nil, err
	}
	u := &Usage{Names: []NameUsage{}}
	for i, r := range names {
		u.Names = append(u.Names, t.usage(r, blobs[i]))
	}
	slices.SortFunc(u.Names, func(a, b NameUsage) int {
		return cmp.Or(cmp.Compare(b.Unique.Bytes, a.Unique.Bytes), cmp.Compare(a.Name, b.Name))
	})
	for n, size := range t.size {
		u.Reached.add(size)
		if t.users[n] > 1 {
			u.Shared.add(size)
		}
	}
	return u, t.compare(ctx, src, u)
}

func (t *table) usage(r read, blobs []int32) NameUsage {
	u := NameUsage{Name: r.name.Name, Broken: r.name.Broken}
	if r.err != nil {
		u.Broken = r.err.Error()
	}
	for _, n := range blobs {
		u.Total.add(t.size[n])
		if t.users[n] > 1 {
			u.Shared.add(t.size[n])
		} else {
			u.Unique.add(t.size[n])
		}
	}
	return u
}

// compare lists what is there, and finds what no name reaches and what is missing.
func (t *table) compare(ctx context.Context, src Source, u *Usage) error {
	there := make([]bool, len(t.size))
	lone := map[key]bool{}
	for b, err := range src.Blobs(ctx) {
		if err != nil {
			return err
		}
		if !b.In.Complete() {
			continue
		}
		k := keyOf(b.Digest)
		if n, ok := t.at[k]; ok {
			there[n] = true
		} else if !lone[k] {
			lone[k] = true
			u.Unreferenced.add(b.Size)
		}
	}
	for n, size := range t.size {
		if !there[n] && !t.made[n] {
			u.Missing.add(size)
		} else if there[n] {
			u.Total.add(size)
		}
	}
	u.Total.Blobs += u.Unreferenced.Blobs
	u.Total.Bytes += u.Unreferenced.Bytes
	return nil
}

// BlobUsage is a blob of one name, and how many names reach it.
type BlobUsage struct {
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"media_type"`
	Size      int64         `json:"size"`
	Names     int           `json:"names"`
}

// UsageOf lists the blobs of one name, the largest first.
func UsageOf(ctx context.Context, src Source, name string) ([]BlobUsage, error) {
	n, err := src.Name(ctx, name)
	if err != nil {
		return nil, err
	}
	closure, err := Closure(ctx, src, n)
	if err != nil {
		return nil, err
	}
	t := &table{at: map[key]int32{}}
	if _, _, err := t.names(ctx, src); err != nil {
		return nil, err
	}
	var all []BlobUsage
	for _, d := range closure {
		all = append(all, BlobUsage{Digest: d.Digest, MediaType: d.MediaType, Size: d.Size, Names: int(t.users[t.number(d)])})
	}
	slices.SortFunc(all, func(a, b BlobUsage) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Digest, b.Digest))
	})
	return all, nil
}
