package index

import (
	"fmt"
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
	return x.db.Update(f)
}

// flush writes a batch.
func (x *Index) flush(wb *badger.WriteBatch) error {
	if err := room(x.dir); err != nil {
		return err
	}
	return wb.Flush()
}
