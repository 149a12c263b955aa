package index

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// Reserve is how many bytes the disk must have free for anything to be written. Badger maps its files to
// memory and writes to what is not allocated yet: a full disk answers that with a signal that ends the
// process. Whoever fills the disk should stop well above it.
const Reserve = 16 << 20

// room says whether the disk takes what is about to be written; the error wraps ENOSPC or EROFS.
func room(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return fmt.Errorf("%s: %w", dir, syscall.EROFS)
	}
	if free := int64(st.Bavail) * st.Bsize; free < Reserve {
		return fmt.Errorf("%s has %d bytes free, and the index wants %d: %w", dir, free, Reserve, syscall.ENOSPC)
	}
	return nil
}

// update changes something in one transaction.
func (x *Index) update(f func(txn *badger.Txn) error) error {
	if err := room(x.dir); err != nil {
		return err
	}
	return x.trusting(func() error { return x.db.Update(f) })
}

// view reads in one transaction.
func (x *Index) view(f func(txn *badger.Txn) error) error {
	return x.trusting(func() error { return x.db.View(f) })
}

// flush writes a batch.
func (x *Index) flush(wb *badger.WriteBatch) error {
	if err := room(x.dir); err != nil {
		return err
	}
	return x.trusting(wb.Flush)
}

// trusting calls what Badger panics in where a file is damaged. Then the next opening begins the index anew.
func (x *Index) trusting(f func() error) error {
	err := recovered(f)
	if errors.Is(err, errDamaged) {
		err = errors.Join(err, os.WriteFile(marker(x.dir), nil, 0o600))
	}
	return err
}

var errDamaged = errors.New("the index is damaged, and the next mount begins it anew")

// recovered makes an error of a panic, and of a page that cannot be read: Badger maps its files.
func recovered(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: badger: %v", errDamaged, r)
		}
	}()
	return f()
}
