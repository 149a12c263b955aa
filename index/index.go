// Package index remembers what is known of digests and names, in Badger.
//
// It is an index, not a store: whatever it holds can be found again on local disk and in the bucket,
// so it is written without syncs, and one that is damaged or of another version is put aside and
// begun anew. It has one opener at a time, which the lock of the cache directory ensures.
//
// Keys: "b" DIGEST is what is known of a blob, "n" NAME of a name, "r" DIGEST NUL GENERATION NAME says
// that the name's closure holds the digest, "v" is the version of all this. A name is written in several
// transactions, new entries before the record and old ones removed after it, and an entry counts only if
// it is of the generation of the name's record: whenever the process ends, what a name reaches is right.
//
// Locks: Index.mu makes the reading and writing of UpdateBlob one step, Index.names those of names.
// Both are leaves.
package index

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// schema is the version of the encoding.
const schema = "layoutfs index 3"

var versionKey = []byte("v")

// Index is the open database.
type Index struct {
	dir   string
	db    *badger.DB
	mu    sync.Mutex
	names sync.Mutex
}

// Open opens the index in dir, or creates it. One that cannot be opened is put aside as dir.damaged
// (the last such one is kept) and begun anew, with a warning.
//
// Badger panics on some damage, also in goroutines of its own where nobody can recover it. So a marker says
// that an opening is under way: who finds it knows that the last opening ended the process. What is found to be damaged
// later leaves the marker, too.
func Open(dir string, log *slog.Logger) (*Index, error) {
	if err := room(dir); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("open the index: %w", err)
	}
	marker := marker(dir)
	_, err := os.Stat(marker)
	if err == nil {
		err = errors.New("the last attempt to open it did not survive")
	} else if err = os.WriteFile(marker, nil, 0o600); err != nil {
		return nil, fmt.Errorf("open the index %s: %w", dir, err)
	}
	var x *Index
	if err == nil {
		x, err = open(dir, log)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, iofs.ErrPermission) {
		return nil, errors.Join(fmt.Errorf("open the index %s: %w", dir, err), os.Remove(marker))
	}
	if err != nil {
		log.Warn("the index cannot be used and is begun anew; nothing is lost", "dir", dir, "err", err)
		if x, err = anew(dir, log); err != nil {
			return nil, errors.Join(fmt.Errorf("begin the index %s anew: %w", dir, err), os.Remove(marker))
		}
	}
	if err := os.Remove(marker); err != nil {
		return nil, errors.Join(fmt.Errorf("open the index %s: %w", dir, err), x.Close())
	}
	return x, nil
}

// marker is a file that says that an index is not to be used.
func marker(dir string) string { return dir + ".opening" }

func anew(dir string, log *slog.Logger) (*Index, error) {
	aside := dir + ".damaged"
	if err := os.RemoveAll(aside); err != nil {
		return nil, err
	}
	if err := os.Rename(dir, aside); err != nil {
		return nil, err
	}
	return open(dir, log)
}

// open opens a database of our version.
func open(dir string, log *slog.Logger) (x *Index, err error) {
	err = recovered(func() error {
		db, err := badger.Open(small(dir, log))
		if err != nil {
			return err
		}
		x = &Index{dir: dir, db: db}
		if err = x.checkVersion(); err != nil {
			return errors.Join(err, db.Close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// small are options for a database of some megabytes in a process that should need few: Badger's
// defaults take hundreds. All tables are read when it is opened, since a bit that has turned over would change what is
// known of a digest.
func small(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithLogger(logger{log}).
		WithMemTableSize(8 << 20).
		WithNumMemtables(2).
		WithNumLevelZeroTables(2).
		WithNumLevelZeroTablesStall(6).
		WithNumCompactors(2).
		WithValueLogFileSize(64 << 20).
		WithValueThreshold(1 << 19).
		WithBaseTableSize(4 << 20).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(4 << 20).
		WithChecksumVerificationMode(options.OnTableRead).
		WithDetectConflicts(false).
		WithMetricsEnabled(false)
}

func (x *Index) checkVersion() error {
	return x.update(func(txn *badger.Txn) error {
		item, err := txn.Get(versionKey)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return txn.Set(versionKey, []byte(schema))
		}
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error {
			if string(v) != schema {
				return fmt.Errorf("it is of version %q, not %q", v, schema)
			}
			return nil
		})
	})
}

// closeWithin bounds Close: Badger tries for ever to flush to a disk that takes nothing. What is not flushed is
// in its log, or is found again.
const closeWithin = 5 * time.Second

// Close flushes and closes. What a full disk does not take stays in Badger's log.
func (x *Index) Close() error {
	if room(x.dir) != nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- x.db.Close() }()
	var err error
	select {
	case err = <-done:
	case <-time.After(closeWithin):
		err = fmt.Errorf("the disk has not taken it within %s", closeWithin)
	}
	if err != nil {
		return fmt.Errorf("close the index: %w", err)
	}
	return nil
}

// logger passes Badger's messages on; what it says at its level of info is for debugging us, and below
// that it speaks of every write.
type logger struct{ log *slog.Logger }

func (l logger) Errorf(f string, a ...any)   { l.log.Error("badger: " + fmt.Sprintf(f, a...)) }
func (l logger) Warningf(f string, a ...any) { l.log.Warn("badger: " + fmt.Sprintf(f, a...)) }
func (l logger) Infof(f string, a ...any)    { l.log.Debug("badger: " + fmt.Sprintf(f, a...)) }
func (l logger) Debugf(string, ...any)       {}
