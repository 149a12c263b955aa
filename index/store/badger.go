package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/gofrs/flock"
)

var versionKey = []byte("v")

// Badger is an open database. It is written without syncs: whatever it holds can be found again.
type Badger struct {
	dir  string
	db   *badger.DB
	lock *flock.Flock
}

// Open opens the database in dir, or creates it. One that cannot be opened, or whose entries are of another version, is
// put aside as dir.damaged (the last such one is kept) and begun anew, with a warning. It has one opener at a time;
// one whose daemon was killed a moment ago is waited for.
//
// Badger panics on some damage, also in goroutines of its own where nobody can recover it. So a marker says
// that an opening is under way: who finds it knows that the last opening ended the process, or that the database was
// distrusted later.
func Open(dir, version string, log *slog.Logger) (*Badger, error) {
	if err := room(dir); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("open the index: %w", err)
	}
	lock, err := take(dir)
	if err != nil {
		return nil, fmt.Errorf("open the index %s: %w", dir, err)
	}
	b, err := openMarked(dir, version, log)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	b.lock = lock
	return b, nil
}

// lockWait is for a process that has just lost its daemon.
const lockWait = 5 * time.Second

func lockOf(dir string) *flock.Flock { return flock.New(dir+".lock", flock.SetPermissions(0o600)) }

func take(dir string) (*flock.Flock, error) {
	l := lockOf(dir)
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	if _, err := l.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	return l, nil
}

func openMarked(dir, version string, log *slog.Logger) (*Badger, error) {
	_, err := os.Stat(marker(dir))
	if err == nil {
		err = errors.New("it was found to be damaged, or the last attempt to open it did not survive")
	} else if err = Distrust(dir); err != nil {
		return nil, fmt.Errorf("open the index %s: %w", dir, err)
	}
	var b *Badger
	if err == nil {
		b, err = OpenAsItIs(dir, version, log)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, iofs.ErrPermission) {
		return nil, errors.Join(fmt.Errorf("open the index %s: %w", dir, err), os.Remove(marker(dir)))
	}
	if err != nil {
		log.Warn("the index cannot be used and is begun anew; nothing is lost", "dir", dir, "err", err)
		if b, err = anew(dir, version, log); err != nil {
			return nil, errors.Join(fmt.Errorf("begin the index %s anew: %w", dir, err), os.Remove(marker(dir)))
		}
	}
	if err := os.Remove(marker(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("open the index %s: %w", dir, err), b.Close())
	}
	return b, nil
}

// marker is a file that says that a database is not to be used.
func marker(dir string) string { return dir + ".opening" }

// Distrust has the next Open begin anew.
func Distrust(dir string) error { return os.WriteFile(marker(dir), nil, 0o600) }

func anew(dir, version string, log *slog.Logger) (*Badger, error) {
	aside := dir + ".damaged"
	if err := os.RemoveAll(aside); err != nil {
		return nil, err
	}
	if err := os.Rename(dir, aside); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, err
	}
	return OpenAsItIs(dir, version, log)
}

// OpenAsItIs opens the database of a version, or fails. Nobody else may have it open.
func OpenAsItIs(dir, version string, log *slog.Logger) (b *Badger, err error) {
	err = recovered(func() error {
		db, err := badger.Open(small(dir, log))
		if err != nil {
			return err
		}
		b = &Badger{dir: dir, db: db}
		if err = b.checkVersion(version); err != nil {
			return errors.Join(err, db.Close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
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

func (b *Badger) checkVersion(version string) error {
	is, err := b.Get(versionKey)
	switch {
	case err != nil:
		return err
	case is == nil:
		return b.Write(Change{Entry: Entry{Key: versionKey, Value: []byte(version)}})
	case string(is) != version:
		return fmt.Errorf("it is of version %q, not %q", is, version)
	}
	return nil
}

// Get returns a value, nil if there is none.
func (b *Badger) Get(key []byte) (value []byte, err error) {
	err = b.view(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err == nil {
			value, err = item.ValueCopy([]byte{})
		}
		return err
	})
	return value, err
}

// Page returns entries under a prefix whose keys come after a key, or the first ones, and whether there may be more.
// Without values it is keys alone.
func (b *Badger) Page(prefix, after []byte, values bool) (page []Entry, more bool, err error) {
	err = b.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Prefix, o.PrefetchValues = prefix, false // that would read in goroutines of Badger's
		it := txn.NewIterator(o)
		defer it.Close()
		size := 0
		for it.Seek(slices.MaxFunc([][]byte{prefix, after}, bytes.Compare)); it.Valid(); it.Next() {
			e := Entry{Key: it.Item().KeyCopy(nil)}
			if bytes.Equal(e.Key, after) {
				continue
			}
			if more = size >= pageSize; more {
				return nil
			}
			if values {
				if e.Value, err = it.Item().ValueCopy(nil); err != nil {
					return err
				}
			}
			size += len(e.Key) + len(e.Value)
			page = append(page, e)
		}
		return nil
	})
	return page, more, err
}

// Write makes changes one after the other.
func (b *Badger) Write(changes ...Change) error {
	if err := room(b.dir); errors.Is(err, iofs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrLost, err)
	} else if err != nil {
		return err
	}
	return recovered(func() error {
		wb := b.db.NewWriteBatch()
		defer wb.Cancel()
		for _, c := range changes {
			var err error
			if c.Delete {
				err = wb.Delete(c.Key)
			} else {
				err = wb.Set(c.Key, c.Value)
			}
			if err != nil {
				return err
			}
		}
		return wb.Flush()
	})
}

// Flush does nothing: changes are made when Write returns.
func (b *Badger) Flush() error { return nil }

// view reads. Whatever cannot be read is damaged.
func (b *Badger) view(f func(txn *badger.Txn) error) error {
	err := recovered(func() error { return b.db.View(f) })
	if err != nil && !errors.Is(err, ErrLost) {
		err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	return err
}

// closeWithin bounds Close: Badger tries for ever to flush to a disk that takes nothing. What is not flushed is
// in its log, or is found again.
const closeWithin = 5 * time.Second

// Close flushes and closes. What a full disk does not take stays in Badger's log.
func (b *Badger) Close() error {
	if b.lock != nil {
		defer b.lock.Close()
	}
	if room(b.dir) != nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- b.db.Close() }()
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
