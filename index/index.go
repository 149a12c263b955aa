// Package index remembers what is known of digests and names.
//
// It is an index, not a store: whatever it holds can be found again on local disk and in the bucket,
// so it is written without syncs, and one that is damaged or of another version is put aside and
// begun anew. It has one opener at a time, which the lock of the cache directory ensures.
//
// Keys: "b" DIGEST is what is known of a blob, "n" NAME of a name, "r" DIGEST NUL GENERATION NAME says
// that the name's closure holds the digest; "v" is the version of all this. A name is written in several
// steps, new entries before the record and old ones removed after it, and an entry counts only if
// it is of the generation of the name's record: whenever the process ends, what a name reaches is right.
//
// Locks: Index.mu makes the reading and writing of UpdateBlob one step, Index.names those of names. Index.at is taken
// under both, to see or change where the entries are.
package index

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/layoutfs/layoutfs/index/store"
)

// schema is the version of the encoding.
const schema = "layoutfs index 3"

// Reserve is how many bytes the disk must have free for the index to be written: see store.Reserve.
const Reserve = store.Reserve

// entries are where an index is kept; the methods are those of store.Front.
type entries interface {
	Get(key []byte) ([]byte, error)
	Page(prefix, after []byte, values bool) (page []store.Entry, more bool, err error)
	Write(changes ...store.Change) error
	Flush() error
	Close() error
}

// Index is an open index.
type Index struct {
	dir   string
	log   *slog.Logger
	mu    sync.Mutex
	names sync.Mutex

	at struct {
		sync.RWMutex // guards following
		entries      entries
		recall       func(why error) Known
	}
}

// Known is what a lost index held, as it is found again elsewhere.
type Known struct {
	Blobs []Blob
	Names []Name // without closures: they are read when they are asked for
}

// Open opens the index in dir in this process, or creates it: see store.Open.
func Open(dir string, log *slog.Logger) (*Index, error) {
	b, err := store.Open(dir, schema, log)
	if err != nil {
		return nil, err
	}
	return over(b, dir, log), nil
}

// Start opens the index in dir as Open does, in a process of its own: see store.Start.
func Start(dir string, log *slog.Logger) (*Index, error) {
	f, err := store.Start(dir, schema, log)
	if err != nil {
		return nil, err
	}
	return over(f, dir, log), nil
}

func over(e entries, dir string, log *slog.Logger) *Index {
	x := &Index{dir: dir, log: log}
	x.at.entries = e
	return x
}

// Recall says what an index begins with that is found to be damaged while it is open. From then on it is kept in memory,
// and the next opening begins it anew: its user sees no error. recall is told why, and must not use the index.
func (x *Index) Recall(recall func(why error) Known) {
	x.at.Lock()
	defer x.at.Unlock()
	x.at.recall = recall
}

// try has f use the entries, once more if they were lost, which another may have found first.
func (x *Index) try(f func(entries) error) error {
	e := x.now()
	err := f(e)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrLost):
		return f(x.recalled(e, err))
	case x.now() != e:
		return f(x.now())
	}
	return err
}

func (x *Index) now() entries {
	x.at.RLock()
	defer x.at.RUnlock()
	return x.at.entries
}

// recalled are the entries in place of those that are lost.
func (x *Index) recalled(were entries, why error) entries {
	x.at.Lock()
	defer x.at.Unlock()
	if x.at.entries != were {
		return x.at.entries // another was first
	}
	why = fmt.Errorf("the index %s is damaged; it is kept in memory until the next mount begins it anew, and nothing is lost: %w", x.dir, why)
	x.log.Error(why.Error())
	if err := store.Distrust(x.dir); err != nil {
		x.log.Warn("the next mount may find the damaged index", "dir", x.dir, "err", err)
	}
	if err := were.Close(); err != nil && !errors.Is(err, store.ErrLost) {
		x.log.Warn("close the damaged index", "dir", x.dir, "err", err)
	}
	x.at.entries = new(store.Memory)
	if x.at.recall != nil {
		x.fill(x.at.entries, x.at.recall(why))
	}
	return x.at.entries
}

// fill writes records without closures, which reach nothing yet.
func (x *Index) fill(e entries, k Known) {
	changes := make([]store.Change, 0, len(k.Blobs)+len(k.Names))
	for _, b := range k.Blobs {
		changes = append(changes, set(blobKey(b.Digest), b.encode()))
	}
	for _, n := range k.Names {
		doc, err := encodeName(newGeneration(), n)
		if err != nil {
			x.log.Warn("a name is read again from the bucket", "name", n.Name, "err", err)
			continue
		}
		changes = append(changes, set(nameKey(n.Name), doc))
	}
	_ = e.Write(changes...) // to memory, which never fails
}

func set(key, value []byte) store.Change {
	return store.Change{Entry: store.Entry{Key: key, Value: value}}
}

func unset(key []byte) store.Change {
	return store.Change{Entry: store.Entry{Key: key}, Delete: true}
}

func (x *Index) get(key []byte) (value []byte, err error) {
	err = x.try(func(e entries) error {
		value, err = e.Get(key)
		return err
	})
	return value, err
}

func (x *Index) write(changes ...store.Change) error {
	return x.try(func(e entries) error { return e.Write(changes...) })
}

// Flush returns when what was written stays, whatever ends this process.
func (x *Index) Flush() error { return x.try(func(e entries) error { return e.Flush() }) }

// each calls f with the entries under a prefix until it says false. What is written meanwhile it may see or not.
func (x *Index) each(prefix []byte, values bool, f func(key, value []byte) (goOn bool, err error)) error {
	var after []byte
	for more := true; more; {
		var page []store.Entry
		err := x.try(func(e entries) (err error) {
			page, more, err = e.Page(prefix, after, values)
			return err
		})
		if err != nil {
			return fmt.Errorf("index: list: %w", err)
		}
		for _, entry := range page {
			after = entry.Key
			if goOn, err := f(entry.Key, entry.Value); err != nil || !goOn {
				return err
			}
		}
	}
	return nil
}

// Lost says whether the index was found to be damaged, and is kept in memory now.
func (x *Index) Lost() bool {
	_, lost := x.now().(*store.Memory)
	return lost
}

// Close flushes and closes. What a full disk does not take stays in Badger's log.
func (x *Index) Close() error { return x.now().Close() }
