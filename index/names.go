package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/store"
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
	// generationSize is the length of the generation at the front of a name's record.
	generationSize = 8
	// MaxName is the longest name that is kept, in bytes: S3 keys are shorter.
	MaxName = 4096
)

func nameKey(name string) []byte { return []byte(namePrefix + name) }

// reverseKey is the key that says that a name's closure holds d, in one generation of its record.
func reverseKey(d digest.Digest, generation []byte, name string) []byte {
	return slices.Concat(reversePrefixOf(d), generation, []byte(name))
}

func reversePrefixOf(d digest.Digest) []byte { return []byte(reversePrefix + string(d) + "\x00") }

// Name reads a record; ok is false if there is none.
func (x *Index) Name(name string) (n Name, ok bool, err error) {
	_, n, ok, err = x.name(name)
	return n, ok, err
}

func (x *Index) name(name string) (generation []byte, n Name, ok bool, err error) {
	v, err := x.get(nameKey(name))
	if err == nil && v != nil {
		generation, n, err = decodeName(v)
	}
	if err != nil {
		return nil, Name{}, false, fmt.Errorf("index: name %q: %w", name, err)
	}
	return generation, n, v != nil, nil
}

// PutName writes a record, replacing, and with it which digests the name reaches.
func (x *Index) PutName(n Name) error {
	x.names.Lock()
	defer x.names.Unlock()
	return x.putName(n)
}

// UpdateName reads, changes and writes a record as one step. Nothing is written if there is none, or if
// fn says false.
func (x *Index) UpdateName(name string, fn func(*Name) bool) error {
	x.names.Lock()
	defer x.names.Unlock()
	_, n, ok, err := x.name(name)
	if errors.Is(err, errRecord) {
		return nil
	}
	if err != nil || !ok || !fn(&n) {
		return err
	}
	return x.putName(n)
}

func (x *Index) putName(n Name) error {
	if len(n.Name) > MaxName {
		return fmt.Errorf("index: name %.40q… has %d bytes; %d are the most", n.Name, len(n.Name), MaxName)
	}
	generation := newGeneration()
	doc, err := encodeName(generation, n)
	if err != nil {
		return fmt.Errorf("index: name %q: %w", n.Name, err)
	}
	was, old, _, err := x.name(n.Name)
	if err != nil && !errors.Is(err, errRecord) {
		return err
	}
	err = x.eachReverse(n, generation, func(key []byte) store.Change { return set(key, nil) })
	if err == nil {
		err = x.write(set(nameKey(n.Name), doc))
	}
	if err == nil {
		err = x.eachReverse(old, was, unset)
	}
	if err != nil {
		return fmt.Errorf("index: name %q: %w", n.Name, err)
	}
	return nil
}

func newGeneration() []byte { return binary.BigEndian.AppendUint64(nil, rand.Uint64()) }

// eachReverse writes what f makes of the reverse entries of a record.
func (x *Index) eachReverse(n Name, generation []byte, f func(key []byte) store.Change) error {
	if len(n.Closure) == 0 {
		return nil
	}
	changes := make([]store.Change, 0, len(n.Closure))
	for _, d := range n.Closure {
		changes = append(changes, f(reverseKey(d.Digest, generation, n.Name)))
	}
	return x.write(changes...)
}

// DeleteName forgets a name.
func (x *Index) DeleteName(name string) error {
	x.names.Lock()
	defer x.names.Unlock()
	generation, old, _, err := x.name(name)
	if err != nil && !errors.Is(err, errRecord) {
		return err
	}
	err = x.write(unset(nameKey(name)))
	if err == nil {
		err = x.eachReverse(old, generation, unset)
	}
	if err != nil {
		return fmt.Errorf("index: forget name %q: %w", name, err)
	}
	return nil
}

// Names iterates over the names that begin with prefix, in the order of their bytes.
// Damaged records are passed over: their names are read again from the bucket.
func (x *Index) Names(prefix string) iter.Seq2[Name, error] {
	return func(yield func(Name, error) bool) {
		err := x.each([]byte(namePrefix+prefix), true, func(_, v []byte) (bool, error) {
			_, n, err := decodeName(v)
			return err != nil || yield(n, nil), nil
		})
		if err != nil {
			yield(Name{}, err)
		}
	}
}

// Reached says whether the closure of any known name holds d.
func (x *Index) Reached(d digest.Digest) (bool, error) {
	return x.ReachedFrom(d, func(string) bool { return true })
}

// ReachedFrom says whether the closure of any known name that of accepts holds d. A record that is replaced meanwhile
// counts with its old closure or with its new one.
func (x *Index) ReachedFrom(d digest.Digest, of func(name string) bool) (bool, error) {
	// An entry that is not of the record's generation is of one that was cut off, or the record was replaced since
	// the entry was listed: then its new entries are there now.
	passed := map[string][]byte{}
	for {
		reached, again, err := x.reachedNow(d, of, passed)
		if err != nil || reached || !again {
			return reached, err
		}
	}
}

// reachedNow looks once. passed are the generations that names had and that have no such entry; again says that one was new.
func (x *Index) reachedNow(d digest.Digest, of func(name string) bool, passed map[string][]byte) (reached, again bool, err error) {
	prefix := reversePrefixOf(d)
	err = x.each(prefix, false, func(key, _ []byte) (goOn bool, err error) {
		key = key[len(prefix):]
		if len(key) < generationSize || !of(string(key[generationSize:])) {
			return true, nil
		}
		name := string(key[generationSize:])
		current, _, ok, err := x.name(name)
		if errors.Is(err, errRecord) {
			return true, nil
		}
		reached = ok && bytes.Equal(current, key[:generationSize])
		if ok && !reached && !bytes.Equal(passed[name], current) {
			passed[name], again = current, true
		}
		return !reached, err
	})
	return reached, again, err
}
