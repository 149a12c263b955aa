package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/index/store"
)

// Where a blob is, as far as this host knows. Bits.
type Where uint8

// The bits of Where.
const (
	Local  Where = 1 << iota // complete on local disk
	Bucket                   // seen in the bucket
	Hidden                   // removed by a client here, and reached by no name
)

// Blob is what is known of one digest.
type Blob struct {
	Digest digest.Digest
	Size   int64 // bytes
	Where  Where
	Used   time.Time // last use here; zero if never
	Seen   time.Time // last seen in the bucket; zero if never
}

const blobPrefix = "b"

func blobKey(d digest.Digest) []byte { return []byte(blobPrefix + string(d)) }

// encode is one byte and three varints; a zero time is 0.
func (b Blob) encode() []byte {
	v := []byte{byte(b.Where)}
	v = binary.AppendVarint(v, b.Size)
	v = binary.AppendVarint(v, nanos(b.Used))
	return binary.AppendVarint(v, nanos(b.Seen))
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

var errRecord = errors.New("the record is damaged")

func decodeBlob(d digest.Digest, v []byte) (Blob, error) {
	if len(v) == 0 {
		return Blob{}, fmt.Errorf("blob %s: %w", d, errRecord)
	}
	var n [3]int64
	rest := v[1:]
	for i := range n {
		var used int
		if n[i], used = binary.Varint(rest); used <= 0 {
			return Blob{}, fmt.Errorf("blob %s: %w", d, errRecord)
		}
		rest = rest[used:]
	}
	return Blob{Digest: d, Where: Where(v[0]), Size: n[0], Used: fromNanos(n[1]), Seen: fromNanos(n[2])}, nil
}

// Blob reads a record; ok is false if there is none.
func (x *Index) Blob(d digest.Digest) (b Blob, ok bool, err error) {
	v, err := x.get(blobKey(d))
	if err == nil && v != nil {
		b, err = decodeBlob(d, v)
	}
	if err != nil {
		return Blob{}, false, fmt.Errorf("index: blob %s: %w", d, err)
	}
	return b, v != nil, nil
}

// PutBlobs writes records, replacing.
func (x *Index) PutBlobs(blobs ...Blob) error {
	if len(blobs) == 0 {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.putBlobs(blobs...)
}

func (x *Index) putBlobs(blobs ...Blob) error {
	changes := make([]store.Change, 0, len(blobs))
	for _, b := range blobs {
		changes = append(changes, set(blobKey(b.Digest), b.encode()))
	}
	if err := x.write(changes...); err != nil {
		return fmt.Errorf("index: write %d blobs: %w", len(blobs), err)
	}
	return nil
}

// UpdateBlob reads, changes and writes one record as one step. fn gets a record with only the digest
// if there is none.
func (x *Index) UpdateBlob(d digest.Digest, fn func(*Blob)) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	b, ok, err := x.Blob(d)
	if err != nil && !errors.Is(err, errRecord) {
		return err
	}
	if !ok {
		b = Blob{Digest: d}
	}
	fn(&b)
	return x.putBlobs(b)
}

// DeleteBlob forgets a digest.
func (x *Index) DeleteBlob(d digest.Digest) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.write(unset(blobKey(d))); err != nil {
		return fmt.Errorf("index: forget blob %s: %w", d, err)
	}
	return nil
}

// Blobs iterates over all records in the order of the digests. Damaged ones are passed over.
func (x *Index) Blobs() iter.Seq2[Blob, error] {
	return func(yield func(Blob, error) bool) {
		err := x.each([]byte(blobPrefix), true, func(key, v []byte) (bool, error) {
			b, err := decodeBlob(digest.Digest(key[len(blobPrefix):]), v)
			return err != nil || yield(b, nil), nil
		})
		if err != nil {
			yield(Blob{}, err)
		}
	}
}
