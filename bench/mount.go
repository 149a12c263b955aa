package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/layoutfs/layoutfs/child"
	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// mount is a host with layoutfs, as it is by default.
type mount struct {
	bench *bench
	csv   string
	dir   string // with the cache directory, the mountpoint and the control socket
}

func openLayoutfs(ctx context.Context, b *bench, c bucket.Config) (place, error) {
	return b.newMount(ctx, csv(c))
}

// newMount mounts a bucket on a machine with an empty disk.
func (b *bench) newMount(ctx context.Context, csv string) (*mount, error) {
	m := &mount{bench: b, csv: csv}
	return m, m.mount(ctx)
}

func (m *mount) mount(ctx context.Context) (err error) {
	if m.dir, err = m.bench.folder("host"); err != nil {
		return err
	}
	if err := os.Mkdir(m.point(), 0o755); err != nil {
		return err
	}
	return m.again(ctx)
}

// again mounts with what is on the disk of this machine.
func (m *mount) again(ctx context.Context) error {
	_, err := m.do(ctx, "mount", "-d", "--cache-dir", m.cache(), m.point())
	return err
}

func (m *mount) point() string { return filepath.Join(m.dir, "mnt") }
func (m *mount) cache() string { return filepath.Join(m.dir, "cache") }

// do runs a command of layoutfs on this host.
func (m *mount) do(ctx context.Context, args ...string) (string, error) {
	return run(ctx, []string{"LAYOUTFS_RUNTIME_DIR=" + filepath.Join(m.dir, "run"), "LAYOUTFS_S3=" + m.csv}, m.bench.layoutfs, args...)
}

func (m *mount) status(ctx context.Context) (s daemon.Status, err error) {
	out, err := m.do(ctx, "status", "--format", "json", m.point())
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(out), &s)
}

func (m *mount) cacheTo() string   { return "type=local,dest=" + m.point() }
func (m *mount) cacheFrom() string { return "type=local,src=" + m.point() }

// settle has nothing to wait for: with --write through it is all there. So what is left would be a bug.
func (m *mount) settle(context.Context) error { return nil }
func (m *mount) fetch(context.Context) error  { return nil }

func (m *mount) renew(ctx context.Context) error {
	if err := m.close(ctx); err != nil {
		return err
	}
	return m.mount(ctx)
}

func (m *mount) close(ctx context.Context) error {
	return errors.Join(m.umount(ctx), os.RemoveAll(m.dir))
}

func (m *mount) umount(ctx context.Context) error {
	if _, err := m.do(ctx, "umount", m.point()); err != nil {
		log, _ := os.ReadFile(filepath.Join(m.cache(), "log"))
		return fmt.Errorf("%w\nlog:\n%s", err, tail(log))
	}
	return nil
}

// await waits until the status of the mount is what is wanted.
func (m *mount) await(ctx context.Context, what string, is func(daemon.Status) bool) error {
	return awaitThat(what, func() (bool, error) {
		s, err := m.status(ctx)
		return err == nil && is(s), err
	})
}

// used tells the seconds of CPU that the daemon takes while something runs, with the process of its index.
func (m *mount) used(ctx context.Context, f func() error) (float64, error) {
	before, err := m.processes(ctx, cpuOf)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := m.processes(ctx, cpuOf)
	return after[0] + after[1] - before[0] - before[1], err
}

// peaks is the most memory that the daemon and the process of its index have had. The pages of the program, which they share, are
// in both.
func (m *mount) peaks(ctx context.Context) ([2]float64, error) { return m.processes(ctx, peakOf) }

// processes is what is true of the daemon, and of the process of its index.
func (m *mount) processes(ctx context.Context, of func(pid int) (float64, error)) (is [2]float64, err error) {
	s, err := m.status(ctx)
	if err != nil {
		return is, err
	}
	index, err := child.Find(s.PID, "layoutfs-index")
	if err != nil {
		return is, err
	}
	for i, pid := range []int{s.PID, index} {
		if is[i], err = of(pid); err != nil {
			return is, err
		}
	}
	return is, nil
}

// cpuOf is what a process has taken: utime and stime of proc(5)'s stat, in ticks of 10 ms.
func cpuOf(pid int) (float64, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(b), ") ") // the name of the program may hold spaces
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat of process %d: %q", pid, b)
	}
	user, err := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return float64(user+system) / 100, errors.Join(err, err2)
}

// peakOf is the most memory that a process has had, in bytes.
func peakOf(pid int) (float64, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	var kib float64
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	_, err = fmt.Sscan(after, &kib)
	return kib * 1024, err
}
