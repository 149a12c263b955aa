package fs

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// blockSize is the unit of I/O that stat tells; sectorSize the one that it counts blocks in.
const (
	blockSize  = 4096
	sectorSize = 512
)

// blobTime is the time of every blob but those just written: the same in every mount and at any time, so that
// rsync, tar and make see nothing change, and late enough for tar and zip.
var blobTime = time.Date(1980, time.January, 2, 0, 0, 0, 0, time.UTC)

// fill describes what exists only in the mount.
func (t *tree) fill(a *fuse.Attr, mode uint32, size int64, mtime time.Time) {
	a.Mode = mode &^ t.umask
	a.Owner = fuse.Owner{Uid: t.uid, Gid: t.gid}
	a.Nlink = 1
	a.Size = uint64(size)
	a.Blksize = blockSize
	a.Blocks = (a.Size + blockSize - 1) / blockSize * (blockSize / sectorSize)
	a.SetTimes(&mtime, &mtime, &mtime)
}

// fillDir describes a directory that exists only in the mount.
func (t *tree) fillDir(a *fuse.Attr) {
	t.fill(a, syscall.S_IFDIR|0o777, 0, t.born)
}

// fillStat describes scratch as it is on local disk.
func (t *tree) fillStat(a *fuse.Attr, st *syscall.Stat_t) {
	a.FromStat(st)
	a.Ino = 0 // go-fuse numbers the nodes
	a.Rdev = 0
	a.Owner = fuse.Owner{Uid: t.uid, Gid: t.gid}
	if st.Mode&syscall.S_IFMT != syscall.S_IFLNK {
		a.Mode &^= t.umask
	}
}

// times are the two times that a client may set; a zero one was not given.
type times struct{ access, mod time.Time }

func timesOf(in *fuse.SetAttrIn) times {
	var given times
	given.access, _ = in.GetATime()
	given.mod, _ = in.GetMTime()
	return given
}

func (g times) given() bool { return !g.access.IsZero() || !g.mod.IsZero() }

// timespecs is what utimensat takes.
func (g times) timespecs() []unix.Timespec {
	spec := func(at time.Time) unix.Timespec {
		if at.IsZero() {
			return unix.Timespec{Nsec: unix.UTIME_OMIT}
		}
		return unix.Timespec{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}
	}
	return []unix.Timespec{spec(g.access), spec(g.mod)}
}
