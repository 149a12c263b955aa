package store

import (
	"fmt"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// Reserve is how many bytes the disk must have free for anything to be written. Badger maps its files to
// memory and writes to what is not allocated yet: a full disk answers that with a signal that ends the
// process. Whoever fills the disk should stop well above it.
const Reserve = 16 << 20

// room says whether the disk takes what is about to be written; the error wraps ENOSPC, EROFS, or why there is no such
// directory.
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

// recovered makes ErrLost of a panic, and of a page that cannot be read: Badger maps its files.
func recovered(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: badger: %v", ErrLost, r)
		}
	}()
	return f()
}
