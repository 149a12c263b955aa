// Package index remembers what is known of digests and names, in Badger.
package index

import (
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var errStub = errors.New("not built yet")

// Index is the open database; one opener at a time.
type Index struct{}

// Open opens or creates the index in dir. A database that cannot be opened because it is damaged is
// moved away and begun anew (it can be rebuilt), with a warning.
func Open(dir string, log *slog.Logger) (*Index, error) { return nil, errStub }

// Close flushes and closes.
func (x *Index) Close() error { return errStub }

// Where a blob is, as far as this host knows. Bits.
type Where uint8

// The bits of Where.
const (
	Local  Where = 1 << iota // warm or staged on local disk
	Bucket                   // seen in the bucket
	Hidden                   // removed by a client here and reached by no name
)

// Blob is what is known of one digest.
type Blob struct {
	Digest digest.Digest
	Size   int64
	Where  Where
	Used   time.Time // last use here; zero if never
	Seen   time.Time // last seen in the bucket; zero if never
}

// Blob reads a record; ok is false if there is none.
func (x *Index) Blob(d digest.Digest) (b Blob, ok bool, err error) { return Blob{}, false, errStub }

// PutBlobs writes records, replacing.
func (x *Index) PutBlobs(blobs ...Blob) error { return errStub }

// UpdateBlob reads, changes and writes one record atomically; fn gets a zero record with Digest set if there is none.
func (x *Index) UpdateBlob(d digest.Digest, fn func(*Blob)) error { return errStub }

// DeleteBlob forgets a digest.
func (x *Index) DeleteBlob(d digest.Digest) error { return errStub }

// Blobs iterates over all records, in digest order, from a snapshot.
func (x *Index) Blobs() iter.Seq2[Blob, error] { return nil }

// Version of a name object in the bucket: the ETag alone does not change when the same bytes are
// written again without metadata.
type Version struct {
	ETag         string
	LastModified time.Time
	Size         int64
}

// Name is what is known of one name.
type Name struct {
	Name       string
	Version    Version
	Descriptor ocispec.Descriptor   // of the layout manifest, annotations as its writer gave them
	Closure    []ocispec.Descriptor // manifest, config and every blob that these name; digest, size and media type only
	Synthetic  bool                 // manifest and config were synthesised from a type=s3 CacheConfig
}

// Name reads a record; ok is false if there is none.
func (x *Index) Name(name string) (n Name, ok bool, err error) { return Name{}, false, errStub }

// PutName writes a record and maintains the reverse map from digest to names.
func (x *Index) PutName(n Name) error { return errStub }

// DeleteName forgets a name.
func (x *Index) DeleteName(name string) error { return errStub }

// Names iterates over the names that begin with prefix, in byte order, from a snapshot.
func (x *Index) Names(prefix string) iter.Seq2[Name, error] { return nil }

// Reached says whether any known name's closure holds d.
func (x *Index) Reached(d digest.Digest) (bool, error) { return false, errStub }
