package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// volume is a file system of a test's own on a loop device, of which the power can be cut.
type volume struct {
	t       testing.TB
	image   string
	dir     string // where it is mounted
	options string
}

// strict are options of mount under which a file system keeps nothing that nobody asked it to keep: ext4 by
// itself flushes a file that replaces another one, and its journal every five seconds.
var strict = map[string]string{"ext4": "loop,noauto_da_alloc,commit=300", "xfs": "loop"}

// newVolume makes and mounts a file system of a size that truncate(1) understands.
func newVolume(t testing.TB, fs, size string, options ...string) *volume {
	t.Helper()
	dir, err := os.MkdirTemp("", "layoutfs-volume-")
	must(t, err)
	v := &volume{t: t, image: filepath.Join(dir, "image"), dir: filepath.Join(dir, "mnt"), options: strict[fs]}
	must(t, os.Mkdir(v.dir, 0o755))
	run(t, "truncate", "-s", size, v.image)
	run(t, tool(t, "mkfs."+fs), append(options, "-q", v.image)...)
	t.Cleanup(func() {
		_ = unix.Unmount(v.dir, unix.MNT_DETACH) // it may not be mounted
		must(t, os.RemoveAll(dir))
	})
	v.mount()
	return v
}

func (v *volume) mount() {
	v.t.Helper()
	run(v.t, "mount", "-o", v.options, v.image, v.dir)
}

// cut takes the power away: what was not flushed to the device is lost, and every request fails with EIO.
func (v *volume) cut() {
	v.t.Helper()
	const (
		goingDown  = 0x8004587d // EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN
		noLogFlush = 2
	)
	f, err := os.Open(v.dir)
	must(v.t, err)
	defer f.Close()
	must(v.t, unix.IoctlSetPointerInt(int(f.Fd()), goingDown, noLogFlush))
}

// freeze stops a program as a power loss does: at once, whatever its disk says then. (XFS that is shut down
// lets the fsync of a folder succeed.)
func freeze(t testing.TB, p *process) {
	t.Helper()
	if p.cmd.Process.Signal(unix.SIGSTOP) != nil {
		return // it has ended
	}
	eventually(t, "no thread runs any more", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		must(t, err)
		return !slices.ContainsFunc(threads, func(path string) bool {
			b, err := os.ReadFile(path)
			return err == nil && !regexp.MustCompile(`\) [TtDZX] `).Match(b)
		})
	})
}

// restore is the boot after that: the journal is recovered. Nobody may have a file open there any more.
func (v *volume) restore() {
	v.t.Helper()
	eventually(v.t, "nobody uses the file system any more", func() bool {
		return unix.Unmount(v.dir, 0) == nil
	})
	v.mount()
}

// path is a path in it.
func (v *volume) path(elem ...string) string {
	return filepath.Join(append([]string{v.dir}, elem...)...)
}
