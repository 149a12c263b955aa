package fs

import "golang.org/x/sys/unix"

// origin tells local files apart. The number of one that is gone is given to another, so when it was made belongs
// to it, and where the file system has handles (ext4, xfs and btrfs have) its handle, which is never given twice.
type origin struct {
	major, minor uint32
	inode        uint64
	made         unix.StatxTimestamp
	handle       string
}

// originOf is the local file of a complete blob; of an incomplete one it is empty.
func originOf(b Blob) origin {
	if fd, ok := completeFd(b); ok {
		return originOfFd(fd)
	}
	return origin{}
}

func originOfFd(fd int) origin {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return origin{}
	}
	o := origin{major: st.Dev_major, minor: st.Dev_minor, inode: st.Ino, made: st.Btime}
	if h, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH); err == nil {
		o.handle = string(h.Bytes())
	}
	return o
}

// anew is what a Blob may say, too: that a local copy which was opened before was wrong.
type anew interface{ Anew() bool }

func isAnew(b Blob) bool {
	a, ok := b.(anew)
	return ok && a.Anew()
}

// joins says whether a new handle may be one of this node, whose handles share a backing file and the pages that
// the kernel has. After a copy was found wrong it is not, while handles are open that have another file: what
// comes of theirs may be wrong. n.mu is held.
func (n *file) joins(b Blob) bool {
	from, fresh := originOf(b), isAnew(b)
	if from == n.modes.source || from == (origin{}) && !fresh {
		return true
	}
	if n.modes.source != (origin{}) {
		if fresh && n.modes.backed+n.modes.others > 0 {
			return false
		}
		n.unverified = true
	}
	n.modes.source = from
	return true
}
