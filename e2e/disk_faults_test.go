package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
)

// sick is a machine whose cache directory is on a disk that goes wrong, with a cache that is warm and one
// that is cold.
type sick struct {
	*host
	v          *volume
	p          *plainS3
	r          *rand.Rand
	warm, cold synthetic
	writes     int
}

func newSick(t *testing.T, v *volume, flags ...string) *sick {
	t.Helper()
	config := anyServer(t).config(t)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	s := &sick{
		v: v, p: newPlainS3(t, config), r: r,
		warm: newSynthetic(t, randomBytes(r, 100_000)), cold: newSynthetic(t, randomBytes(r, 3<<20)),
	}
	other := newHost(t, config)
	must(t, s.cold.exportTo(t.Context(), other.path("cold"), "latest"))
	other.umount()
	log := filepath.Join(t.TempDir(), "log") // not on the disk that goes wrong
	s.host = newHostOn(t, v.path("cache"), csv(config), append(flags, "--log-file", log, "--min-free", "32MiB")...)
	must(t, s.warm.exportTo(t.Context(), s.path("warm"), "latest"))
	return s
}

// within fails if an operation hangs, and returns its error.
func (s *sick) within(what string, f func() error) error {
	s.t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		s.t.Fatalf("after a minute there is no end of: %s", what)
		return nil
	}
}

// export writes a cache of a size that nobody had before.
func (s *sick) export(size int) error {
	s.t.Helper()
	s.writes++
	c := newSynthetic(s.t, randomBytes(s.r, size))
	return s.within("an export", func() error {
		return c.exportTo(s.t.Context(), s.path(fmt.Sprint("new-", s.writes)), "latest")
	})
}

// endure uses the mount while its disk is sick: writers are refused with one of some errors, readers get
// right bytes or an error (with a full disk what is warm), nothing hangs, and the daemon lives and says what is
// wrong.
func (s *sick) endure(words string, errnos ...error) {
	s.t.Helper()
	for range 3 {
		s.learn(60)
		if err := s.export(1 << 20); !isOneOf(err, errnos) {
			s.t.Errorf("an export ended with: %v", err)
		}
		if err := s.importOf("warm"); err != nil && isOneOf(syscall.ENOSPC, errnos) || errors.Is(err, errWrongBytes) {
			s.t.Errorf("an import of what is warm ended with: %v", err)
		}
		if err := s.importOf("cold"); errors.Is(err, errWrongBytes) {
			s.t.Error(err)
		}
	}
	if status := s.status(); status.PID != s.pid || !strings.Contains(status.Cache.Problem, words) {
		s.t.Errorf("status does not speak of %q: %+v", words, status.Cache)
	}
	s.p.wantWhole()
}

func (s *sick) importOf(name string) error {
	s.t.Helper()
	return s.within("an import", func() error {
		_, err := importFrom(s.path(name), "latest")
		return err
	})
}

// recovered wants the daemon that was there all the time to work again.
func (s *sick) recovered() {
	s.t.Helper()
	must(s.t, s.export(1<<20))
	for _, name := range []string{"warm", "cold"} {
		must(s.t, s.importOf(name))
	}
	if pid := s.status().PID; pid != s.pid {
		s.t.Errorf("it is another daemon")
	}
	s.p.wantWhole()
}

// learn has the index written: others publish names, and a client opens index.json. That it cannot be kept on
// disk may be an error.
func (s *sick) learn(names int) {
	s.t.Helper()
	body, err := cacheconfig.Export(s.manifest(), s.warm.config)
	must(s.t, err)
	for range names {
		s.p.do(http.MethodPut, fmt.Sprintf("%smanifests/other/%x", s.p.c.Prefix, s.r.Uint64()), nil, body...)
	}
	_ = s.within("an open of index.json", func() error {
		_, err := os.ReadFile(s.path("index.json"))
		return err
	})
}

func (s *sick) manifest() cacheconfig.Manifest {
	s.t.Helper()
	m, err := cacheconfig.ParseManifest(s.warm.manifest)
	must(s.t, err)
	return m
}

// isOneOf says whether an error is one of some.
func isOneOf(err error, errs []error) bool {
	for _, e := range errs {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// TestDiskIsFull: another program takes all the space of the disk, whatever --min-free says. Who writes is
// told ENOSPC, and when there is space again everything goes on.
func TestDiskIsFull(t *testing.T) {
	t.Parallel() // much of it is waiting
	s := newSick(t, newVolume(t, "ext4", "200M", "-m", "0"))
	hog := s.v.path("hog")
	fill(t, hog)
	s.endure("no space left", syscall.ENOSPC)
	must(t, os.Remove(hog))
	s.recovered()
}

// fill takes all the space of a file system.
func fill(t testing.TB, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else {
			must(t, err)
		}
	}
	must(t, f.Sync())
}

// TestDiskHasNoInodes: there is space and no file can be made.
func TestDiskHasNoInodes(t *testing.T) {
	t.Parallel() // much of it is waiting
	s := newSick(t, newVolume(t, "ext4", "200M", "-N", "512"))
	dir := s.v.path("hog")
	must(t, os.Mkdir(dir, 0o755))
	var err error
	for i := 0; err == nil; i++ {
		err = os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	s.endure("no space left", syscall.ENOSPC)
	must(t, os.RemoveAll(dir))
	s.recovered()
}

// TestDiskIsReadOnly: a kernel that meets an error mounts the file system read-only.
func TestDiskIsReadOnly(t *testing.T) {
	t.Parallel() // much of it is waiting
	s := newSick(t, newVolume(t, "ext4", "200M"))
	must(t, unix.Mount("", s.v.dir, "", unix.MS_REMOUNT, "abort"))
	s.endure("read-only file system", syscall.EROFS, syscall.EIO)
}

// TestDiskThatFails: every request to the disk fails.
func TestDiskThatFails(t *testing.T) {
	t.Parallel() // much of it is waiting
	s := newSick(t, newVolume(t, "ext4", "200M"))
	s.v.cut()
	s.endure("input/output error", syscall.EIO)
}
