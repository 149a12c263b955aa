package e2e

import (
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// dockerfile is a build of several stages with all that changes how a cache is kept: layers that several
// steps share, COPY --link (blobs with several parents), COPY --from (selectors), empty layers, a layer
// that deletes, links, odd names.
const dockerfile = `FROM scratch AS base
COPY busybox /bin/sh
COPY busybox /bin/busybox
RUN mkdir -p /data /tmp && echo base > /data/base
FROM base AS left
COPY seed /data/seed
RUN busybox sha256sum /data/seed | busybox cut -c1-64 > /data/left && busybox ln -s left /data/link && busybox ln /data/left /data/hard
RUN true
FROM base AS right
COPY large /data/large
RUN busybox cp /data/large "/data/a name with ü and spaces" && busybox rm /data/base && busybox chmod 640 /data/large
FROM base
COPY --link --from=left /data/left /left
COPY --link --from=right /data /right
COPY --from=left /data/link /data/hard /links/
RUN busybox cat /left > /result
`

// newContext is a folder to build, whose files no other build has.
func newContext(t testing.TB) string {
	t.Helper()
	return contextOf(t, dockerfile, map[string]int{"seed": 64, "large": 3 << 20})
}

// contextOf is a folder with a Dockerfile, busybox, and random files of those sizes.
func contextOf(t testing.TB, dockerfile string, files map[string]int) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644))
	busybox, err := os.ReadFile(tool(t, "busybox"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "busybox"), busybox, 0o755))
	for name, size := range files {
		b := make([]byte, size)
		_, _ = rand.Read(b)
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	return dir
}

// entry is what matters of a file that a build made.
type entry struct {
	Mode   fs.FileMode
	Size   int64
	Digest digest.Digest
	Target string
}

// tree reads what a build exported to a folder.
func tree(t testing.TB, dir string) map[string]entry {
	t.Helper()
	all := map[string]entry{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir { // the folder itself is made by whoever exports
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{Mode: info.Mode()}
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			e.Size, e.Digest = info.Size(), digest.FromBytes(b)
		case info.Mode()&fs.ModeSymlink != 0:
			if e.Target, err = os.Readlink(path); err != nil {
				return err
			}
		}
		all[strings.TrimPrefix(path, dir)] = e
		return nil
	}))
	return all
}

// cutAtRace finds the report of a data race in a log.
func cutAtRace(log string) (before, race string, found bool) {
	const mark = "WARNING: DATA RACE"
	before, after, found := strings.Cut(log, mark)
	return before, mark + after, found
}

// eventually waits for what no event tells of.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	within(t, 30*time.Second, what, done)
}

// within is eventually with a time of its own.
func within(t testing.TB, d time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %s still not: %s", d, what)
		}
	}
}

// awaitGone waits for the end of a process that is not our child.
func awaitGone(t testing.TB, pid int) {
	t.Helper()
	eventually(t, "the daemon has ended", func() bool {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		return err != nil || strings.Contains(string(b), ") Z ")
	})
}
