package disk

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spaceAge and spaceGrain bound how far the known free space may be off: it is asked for anew after
	// that time, and after so many bytes were admitted.
	spaceAge   = 100 * time.Millisecond
	spaceGrain = 8 << 20
	// maxBytes is more than any file system has; sums of a few such numbers do not overflow.
	maxBytes = 1 << 60
)

// volume is the file system that the cache directory is on.
type volume interface {
	// Free is how many bytes an unprivileged process may still write.
	Free() (int64, error)
}

// mounted is the volume that a path is on.
type mounted string

func (path mounted) Free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(string(path), &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", string(path), err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// space keeps an estimate of the free space, so that asking costs nothing per write. It knows no locks.
type space struct {
	volume  volume
	minFree int64

	left   int64     // free, by the last answer and what was admitted and evicted since
	asked  time.Time // when that answer came
	spent  int64     // admitted since
	doomed int64     // bytes that were evicted and are not unlinked yet
}

// short returns how many bytes must be freed before n more may be written; 0 or less means none.
func (sp *space) short(n int64) (int64, error) {
	if sp.spent+n > spaceGrain || time.Since(sp.asked) > spaceAge {
		if err := sp.refresh(); err != nil {
			return 0, err
		}
	}
	return sp.minFree + min(n, maxBytes) - sp.left, nil
}

func (sp *space) refresh() error {
	free, err := sp.volume.Free()
	if err != nil {
		return err
	}
	sp.left, sp.spent, sp.asked = free+sp.doomed, 0, time.Now()
	return nil
}

// take notes that n bytes will be written.
func (sp *space) take(n int64) {
	sp.left -= n
	sp.spent += n
}

// doom notes that n bytes will be unlinked at once.
func (sp *space) doom(n int64) {
	sp.left += n
	sp.doomed += n
}

// freed notes that n bytes are unlinked. They may be held open, so only the volume knows what is free.
func (sp *space) freed(n int64) {
	sp.doomed -= n
	sp.asked = time.Time{}
}
