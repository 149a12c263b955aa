package inspect

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Source is where a cache is read from. Errors for what is not there wrap fs.ErrNotExist. Its methods are
// safe for concurrent use, and each ends when its context does.
type Source interface {
	// Names lists the names, each once, in no promised order. One that cannot be read has a Broken; an
	// error ends the listing.
	Names(ctx context.Context) iter.Seq2[Name, error]
	// Name is one of them. A broken one is no error.
	Name(ctx context.Context, name string) (Name, error)
	// Blobs lists the blobs that are there, whether a name reaches them or not, in no promised order and
	// possibly twice. Manifests and configs that are synthesised are not among them.
	Blobs(ctx context.Context) iter.Seq2[Blob, error]
	// Stat says where one blob is. One that is synthesised is everywhere.
	Stat(ctx context.Context, d digest.Digest) (Blob, error)
	// Open reads n bytes of a blob from off on; n < 0 means to its end. Fewer bytes are an error that
	// wraps io.ErrUnexpectedEOF. The bytes are not verified.
	Open(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error)
}

// Name is a name, and the manifest or index that it stands for.
type Name struct {
	Name       string             `json:"name"`
	Descriptor ocispec.Descriptor `json:"descriptor"`
	Updated    time.Time          `json:"updated,omitzero"`    // when it was last written; zero if that is not known
	Synthetic  bool               `json:"synthetic,omitempty"` // a type=s3 client wrote it: manifest and config are made of its CacheConfig
	Broken     string             `json:"broken,omitempty"`    // why it cannot be read; then there is no Descriptor
	// Closure is what the name reaches, its manifest first, where that is known without reading; else nil.
	Closure []ocispec.Descriptor `json:"closure,omitempty"`
}

// Blob is a blob and where it is.
type Blob struct {
	Digest   digest.Digest `json:"digest"`
	Size     int64         `json:"size"` // bytes
	In       Place         `json:"in"`
	Modified time.Time     `json:"modified,omitzero"` // when it was written where it is, of the bucket if it is there; zero if that is not known
	Used     time.Time     `json:"used,omitzero"`     // when the local copy was last used; zero if there is none
}

// Place says where a blob is. Bits; how a blob may be in several places is the source's matter.
type Place uint8

// The places.
const (
	Folder  Place = 1 << iota // in a folder with a layout
	Bucket                    // in the bucket
	Warm                      // on local disk, a copy of what the bucket has
	Staged                    // on local disk, not yet known to be in the bucket
	Partial                   // on local disk, some chunks of it
	Made                      // synthesised, whenever it is asked for
)

// Local are the places of a complete local copy.
const Local = Folder | Warm | Staged | Made

// Complete says whether all bytes can be had.
func (p Place) Complete() bool { return p&(Local|Bucket) != 0 }

// places are what they are called in output, the nearest first.
var places = []struct {
	place Place
	name  string
}{{Staged, "staged"}, {Warm, "warm"}, {Partial, "partial"}, {Folder, "folder"}, {Made, "made"}, {Bucket, "bucket"}}

// String is the nearest place, or "missing".
func (p Place) String() string {
	for _, at := range places {
		if p&at.place != 0 {
			return at.name
		}
	}
	return "missing"
}

// MarshalJSON writes the places as a list of names.
func (p Place) MarshalJSON() ([]byte, error) {
	names := []string{}
	for _, at := range places {
		if p&at.place != 0 {
			names = append(names, at.name)
		}
	}
	return json.Marshal(names)
}

// UnmarshalJSON reads what MarshalJSON wrote; unknown places are passed over.
func (p *Place) UnmarshalJSON(b []byte) error {
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		return err
	}
	*p = 0
	for _, at := range places {
		if slices.Contains(names, at.name) {
			*p |= at.place
		}
	}
	return nil
}
