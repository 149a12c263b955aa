package index

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Version of a name object in the bucket: the ETag alone does not change when the same bytes are
// written again without metadata.
type Version struct {
	ETag         string
	LastModified time.Time
	Size         int64 // bytes
}

// Name is what is known of one name.
type Name struct {
	Name       string
	Version    Version
	Descriptor ocispec.Descriptor   // of the layout's manifest, annotations as its writer gave them
	Closure    []ocispec.Descriptor // manifest, config and every blob that these name: digest, size and media type; empty if not read yet
	Synthetic  bool                 // manifest and config were synthesised from a CacheConfig of type=s3
}

const (
	namePrefix    = "n"
	reversePrefix = "r"
	// generationSize is the length of the generation before the JSON of a name's record.
	generationSize = 8
	// maxName is the longest name that is kept, in bytes: S3 keys are shorter.
	maxName = 4096
)

func nameKey(name string) []byte { return []byte(namePrefix + name) }

func reverseKey(d digest.Digest, name string) []byte {
	return []byte(reversePrefix + string(d) + "\x00" + name)
}

// Name reads a record; ok is false if there is none.
func (x *Index) Name(name string) (n Name, ok bool, err error) {
	_, n, ok, err = x.name(name)
	return n, ok, err
}

func (x *Index) name(name string) (generation []byte, n Name, ok bool, err error) {
	err = x.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(nameKey(name))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error {
			generation, n, err = decodeName(v)
			ok = err == nil
			return err
		})
	})
	if err != nil {
		return nil, Name{}, false, fmt.Errorf("index: name %q: %w", name, err)
	}
	return generation, n, ok, nil
}

func decodeName(v []byte) (generation []byte, n Name, err error) {
	if len(v) < generationSize {
		return nil, Name{}, errRecord
	}
	if err := json.Unmarshal(v[generationSize:], &n); err != nil {
		return nil, Name{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	return bytes.Clone(v[:generationSize]), n, nil
}

// PutName writes a record, replacing, and with it which digests the name reaches.
func (x *Index) PutName(n Name) error {
	if len(n.Name) > maxName {
		return fmt.Errorf("index: name %.40q… has %d bytes; %d are the most", n.Name, len(n.Name), maxName)
	}
	doc, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("index: name %q: %w", n.Name, err)
	}
	_, old, _, err := x.name(n.Name)
	if err != nil && !errors.Is(err, errRecord) {
		return err
	}
	generation := binary.BigEndian.AppendUint64(nil, rand.Uint64())
	wb := x.db.NewWriteBatch()
	defer wb.Cancel()
	keep := map[digest.Digest]bool{}
	for _, d := range n.Closure {
		keep[d.Digest] = true
		if err := wb.Set(reverseKey(d.Digest, n.Name), generation); err != nil {
			return fmt.Errorf("index: name %q: %w", n.Name, err)
		}
	}
	for _, d := range old.Closure {
		if keep[d.Digest] {
			continue
		}
		if err := wb.Delete(reverseKey(d.Digest, n.Name)); err != nil {
			return fmt.Errorf("index: name %q: %w", n.Name, err)
		}
	}
	if err := wb.Flush(); err != nil {
		return fmt.Errorf("index: name %q: %w", n.Name, err)
	}
	err = x.db.Update(func(txn *badger.Txn) error { return txn.Set(nameKey(n.Name), append(generation, doc...)) })
	if err != nil {
		return fmt.Errorf("index: name %q: %w", n.Name, err)
	}
	return nil
}

// DeleteName forgets a name.
func (x *Index) DeleteName(name string) error {
	_, old, _, err := x.name(name)
	if err != nil && !errors.Is(err, errRecord) {
		return err
	}
	if err := x.db.Update(func(txn *badger.Txn) error { return txn.Delete(nameKey(name)) }); err != nil {
		return fmt.Errorf("index: forget name %q: %w", name, err)
	}
	wb := x.db.NewWriteBatch()
	defer wb.Cancel()
	for _, d := range old.Closure {
		if err := wb.Delete(reverseKey(d.Digest, name)); err != nil {
			return fmt.Errorf("index: forget name %q: %w", name, err)
		}
	}
	if err := wb.Flush(); err != nil {
		return fmt.Errorf("index: forget name %q: %w", name, err)
	}
	return nil
}

// Names iterates over the names that begin with prefix, in the order of their bytes, from a snapshot.
// Damaged records are passed over: their names are read again from the bucket.
func (x *Index) Names(prefix string) iter.Seq2[Name, error] {
	return func(yield func(Name, error) bool) {
		err := x.each([]byte(namePrefix+prefix), true, func(_, v []byte) bool {
			_, n, err := decodeName(v)
			return err != nil || yield(n, nil)
		})
		if err != nil {
			yield(Name{}, err)
		}
	}
}

// Reached says whether the closure of any known name holds d.
func (x *Index) Reached(d digest.Digest) (bool, error) {
	prefix := reverseKey(d, "")
	entries := map[string][]byte{}
	err := x.each(prefix, true, func(key, v []byte) bool {
		entries[string(key[len(prefix):])] = v
		return true
	})
	if err != nil {
		return false, err
	}
	for name, generation := range entries {
		current, _, ok, err := x.name(name)
		if err != nil && !errors.Is(err, errRecord) {
			return false, err
		}
		if ok && bytes.Equal(current, generation) {
			return true, nil
		}
	}
	return false, nil
}
