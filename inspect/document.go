package inspect

import (
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/inspect/records"
)

// Document is everything that is known of a name. The JSON names are stable; sizes are in bytes.
type Document struct {
	Name       string             `json:"name"`
	Kind       Kind               `json:"kind"`
	Synthetic  bool               `json:"synthetic,omitempty"` // a type=s3 client wrote it: manifest and config are made of its CacheConfig
	Updated    time.Time          `json:"updated,omitzero"`
	Size       int64              `json:"size"` // of everything that it reaches, each blob once
	Descriptor ocispec.Descriptor `json:"descriptor"`
	Manifest   json.RawMessage    `json:"manifest"`
	Config     json.RawMessage    `json:"config,omitempty"` // of an image; that of a cache is in Layers and Records
	Layers     []DocumentLayer    `json:"layers"`
	Records    []DocumentRecord   `json:"records,omitempty"`
}

// DocumentLayer is a layer.
type DocumentLayer struct {
	Digest    digest.Digest   `json:"digest"`
	Size      int64           `json:"size"`
	MediaType string          `json:"media_type"`
	DiffID    digest.Digest   `json:"diff_id,omitempty"`
	CreatedAt time.Time       `json:"created_at,omitzero"`
	On        []digest.Digest `json:"on,omitempty"` // the layers of a cache that it is directly on; absent for those on none
}

// DocumentRecord is a cache record. What it stands for is a guess from its shape.
type DocumentRecord struct {
	Index     int               `json:"index"`
	Digest    digest.Digest     `json:"digest"`
	Kind      records.Kind      `json:"kind"`
	Inputs    [][]DocumentInput `json:"inputs,omitempty"`
	Layers    []digest.Digest   `json:"layers,omitempty"` // of its result, base first
	CreatedAt time.Time         `json:"created_at,omitzero"`
}

// DocumentInput is one of the records that an input may be.
type DocumentInput struct {
	Record   int           `json:"record"` // index
	Digest   digest.Digest `json:"digest"`
	Selector digest.Digest `json:"selector,omitempty"`
}

// Document makes one of a cache.
func (c *Cache) Document() Document {
	doc := Document{
		Name: c.Name.Name, Kind: c.Kind, Synthetic: c.Name.Synthetic, Updated: c.Name.Updated, Descriptor: c.Name.Descriptor,
		Manifest: c.Manifest, Layers: []DocumentLayer{},
	}
	for _, d := range c.Closure {
		doc.Size += d.Size
	}
	on := c.on()
	for _, d := range c.Layers {
		doc.Layers = append(doc.Layers, DocumentLayer{
			Digest: d.Digest, Size: d.Size, MediaType: d.MediaType,
			DiffID: digest.Digest(d.Annotations[annotationDiffID]), CreatedAt: CreatedAt(d), On: on[d.Digest],
		})
	}
	if c.Graph == nil {
		doc.Config = c.Config
		return doc
	}
	kinds := c.Graph.Kinds()
	for i := range c.Graph.Records {
		doc.Records = append(doc.Records, c.record(i, kinds[i]))
	}
	return doc
}

// on says on which layers each layer directly is.
func (c *Cache) on() map[digest.Digest][]digest.Digest {
	on := map[digest.Digest][]digest.Digest{}
	if c.Graph == nil {
		return on
	}
	for _, l := range c.Graph.Layers {
		if l.Parent >= 0 {
			on[l.Blob] = append(on[l.Blob], c.Graph.Layers[l.Parent].Blob)
		}
	}
	return on
}

func (c *Cache) record(i int, kind records.Kind) DocumentRecord {
	r := c.Graph.Records[i]
	out := DocumentRecord{Index: i, Digest: r.Digest, Kind: kind}
	for _, any := range r.Inputs {
		alternatives := make([]DocumentInput, 0, len(any))
		for _, in := range any {
			alternatives = append(alternatives, DocumentInput{Record: in.Record, Digest: c.Graph.Records[in.Record].Digest, Selector: in.Selector})
		}
		out.Inputs = append(out.Inputs, alternatives)
	}
	if res, ok := r.Newest(); ok {
		out.CreatedAt = res.CreatedAt
		for _, l := range c.Graph.LayersOf(res) {
			out.Layers = append(out.Layers, c.Graph.Layers[l].Blob)
		}
	}
	return out
}
