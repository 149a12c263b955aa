package fs

import (
	"errors"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// freshNames has names looked up anew each time.
func freshNames(o *Options) { o.Refresh = time.Nanosecond }

// layoutFiles is what an empty layout lists.
var layoutFiles = []string{"blobs", "index.json", "oci-layout"}

func listed(more ...string) []string { return append(slices.Clone(layoutFiles), more...) }

// wantLayout fails unless a directory is a layout of its own scope.
func (r *rig) wantLayout(t *testing.T, scope string) {
	t.Helper()
	dir := r.path(scope)
	wantContent(t, dir+"/oci-layout", []byte(layoutContent))
	index := indexOf("in " + scope)
	must(t, os.WriteFile(dir+"/index.json", []byte(index), 0o644))
	all := r.names.publications()
	if last := all[len(all)-1]; last.scope != scope || last.after != index {
		t.Errorf("index.json of %q was published as %q", scope, last)
	}
	wantContent(t, dir+"/index.json", []byte(index))
	content := randomly(1000)
	d := ingested(t, dir, content)
	r.wantBlob(t, content)
	wantContent(t, r.blob(d, scope), content)
}

func TestDirectoryOfANameIsItsLayout(t *testing.T) {
	r := testMount(t)
	for _, scope := range []string{"app", "app/v1", "app/v1/arm64", "other"} {
		beginLayout(t, r.path(scope))
		wantNames(t, r.path(scope), layoutFiles...)
		wantContent(t, r.path(scope, "index.json"), []byte(emptyIndex))
		r.wantLayout(t, scope)
	}
	wantNames(t, r.mnt, listed("app", "other")...)
	wantNames(t, r.path("app"), listed("v1", "ingest")...)
	r.wantLayout(t, "")
	_, err := os.Stat(r.path("missing"))
	wantErrno(t, "stat of what is no name", err, syscall.ENOENT)
	_, err = os.Stat(r.path("missing", "index.json"))
	wantErrno(t, "stat below what is no name", err, syscall.ENOENT)
	wantErrno(t, "mkdir again", os.Mkdir(r.path("app"), 0o755), syscall.EEXIST)
	wantErrno(t, "mkdir below what is no name", os.Mkdir(r.path("missing", "sub"), 0o755), syscall.ENOENT)
	beginLayout(t, r.path("deep", "er", "still"))
	r.wantLayout(t, "deep/er/still")
}

// TestDirectoryOfANameAsksForNoOthers: there may be ten thousand.
func TestDirectoryOfANameAsksForNoOthers(t *testing.T) {
	r := testMount(t)
	r.names.set("team/app", indexOf("latest"))
	wantContent(t, r.path("team", "app", "index.json"), []byte(indexOf("latest")))
	_, err := os.Stat(r.path("missing"))
	wantErrno(t, "stat of what is no name", err, syscall.ENOENT)
	r.names.mu.Lock()
	defer r.names.mu.Unlock()
	if r.names.asked > 0 {
		t.Errorf("all names were asked for %d times", r.names.asked)
	}
}

func TestNamesAppearAndDisappear(t *testing.T) {
	r := testMount(t, freshNames)
	_, err := os.Stat(r.path("app"))
	wantErrno(t, "stat before", err, syscall.ENOENT)
	r.names.set("app/v1", indexOf("latest"))
	wantNames(t, r.mnt, listed("app")...)
	wantNames(t, r.path("app"), listed("v1")...)
	wantContent(t, r.path("app", "index.json"), []byte(emptyIndex))
	wantContent(t, r.path("app", "v1", "index.json"), []byte(indexOf("latest")))
	wantErrno(t, "mkdir of a known name", os.Mkdir(r.path("app"), 0o755), syscall.EEXIST)
	wantErrno(t, "rmdir of a known name", unix.Rmdir(r.path("app", "v1")), syscall.EPERM)
	wantErrno(t, "rmdir of what leads to a name", unix.Rmdir(r.path("app")), syscall.EPERM)
	r.names.remove("app/v1")
	wantNames(t, r.mnt, layoutFiles...)
	inTime(t, "the end of what the kernel remembers of a name", func() {
		for !errors.Is(err, syscall.ENOENT) {
			_, err = os.Stat(r.path("app"))
		}
	})
	r.names.set("app", indexOf("latest"))
	wantContent(t, r.path("app", "index.json"), []byte(indexOf("latest")))
}

func TestNamesThatCannotBeListed(t *testing.T) {
	r := testMount(t, freshNames)
	r.names.failReading(errors.New("what is known is broken"))
	_, err := os.ReadDir(r.mnt)
	wantErrno(t, "listing", err, syscall.EIO)
	_, err = os.Stat(r.path("app"))
	wantErrno(t, "stat", err, syscall.EIO)
	wantErrno(t, "rmdir of nothing", unix.Rmdir(r.path("app")), syscall.EIO)
	_, err = os.Stat(r.path("oci-layout"))
	wantErrno(t, "stat of what is always there", err, 0)
	r.names.failReading(nil)
	wantNames(t, r.mnt, layoutFiles...)
}

func TestRmdirOfALayout(t *testing.T) {
	r := testMount(t, freshNames)
	for _, dir := range []string{"app", "app/v1", "app/v1/blobs", "app/v1/blobs/sha512"} {
		must(t, os.Mkdir(r.path(dir), 0o755))
	}
	put(t, r.path("app", "v1", "file"), nil)
	wantErrno(t, "rmdir with a layout in it", unix.Rmdir(r.path("app")), syscall.ENOTEMPTY)
	wantErrno(t, "rmdir with a file in it", unix.Rmdir(r.path("app", "v1")), syscall.ENOTEMPTY)
	wantErrno(t, "unlink", unix.Unlink(r.path("app")), syscall.EISDIR)
	must(t, os.Remove(r.path("app", "v1", "file")))
	wantErrno(t, "rmdir with blobs in it", unix.Rmdir(r.path("app", "v1")), syscall.ENOTEMPTY)
	wantErrno(t, "rmdir of blobs with an algorithm in it", unix.Rmdir(r.path("app", "v1", "blobs")), syscall.ENOTEMPTY)
	must(t, os.Remove(r.path("app", "v1", "blobs", "sha512")))
	must(t, os.Remove(r.path("app", "v1", "blobs")))
	wantErrno(t, "rmdir of an empty layout", unix.Rmdir(r.path("app", "v1")), 0)
	wantErrno(t, "rmdir of its parent", unix.Rmdir(r.path("app")), 0)
	wantNames(t, r.mnt, layoutFiles...)
	wantErrno(t, "rmdir of nothing", unix.Rmdir(r.path("app")), syscall.ENOENT)
	beginLayout(t, r.path("app"))
	r.wantLayout(t, "app")
}

// A layout is known by its name, and stays where it is; mv copies it.
func TestLayoutIsNotRenamed(t *testing.T) {
	r := testMount(t)
	beginLayout(t, r.path("app"))
	must(t, os.Mkdir(r.path(".dir"), 0o755))
	wantErrno(t, "rename of a layout", unix.Rename(r.path("app"), r.path("other")), syscall.EXDEV)
	wantErrno(t, "rename of a layout to scratch", unix.Rename(r.path("app"), r.path(".other")), syscall.EXDEV)
	wantErrno(t, "rename of scratch to a layout", unix.Rename(r.path(".dir"), r.path("other")), syscall.EXDEV)
	r.wantLayout(t, "app")
}

// What clients need for a while is no layout: ingest, and what has a dot before it.
func TestReservedDirectoriesAreScratch(t *testing.T) {
	r := testMount(t)
	must(t, os.Mkdir(r.path("app"), 0o755))
	for _, name := range []string{"ingest", ".umoci-123", ".fsverity-check-1", "app/ingest"} {
		must(t, os.Mkdir(r.path(name), 0o751))
		wantNames(t, r.path(name))
		must(t, os.MkdirAll(r.path(name, "blobs", "sha256"), 0o755))
		put(t, r.path(name, "index.json"), []byte("what you like"))
		put(t, r.path(name, "blobs", "sha256", digest.FromString("one").Encoded()), []byte("another"))
		wantNames(t, r.path(name), "blobs", "index.json")
		info, err := os.Stat(r.path(name))
		must(t, err)
		if info.Mode().Perm() != 0o751 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		must(t, os.RemoveAll(r.path(name)))
	}
	if r.blobs.commits.Load() > 0 || len(r.names.publications()) > 0 {
		t.Error("scratch reached the bucket")
	}
}

func TestScratchDirectoriesAreRenamed(t *testing.T) {
	r := testMount(t)
	for _, dir := range []string{".a", ".a/sub", ".empty", ".full"} {
		must(t, os.Mkdir(r.path(dir), 0o755))
	}
	put(t, r.path(".full", "file"), nil)
	content := randomly(1000)
	f := openFile(t, r.path(".a", "sub", "data"), os.O_WRONLY|os.O_CREATE)
	_, err := f.Write(content[:500])
	must(t, err)
	wantErrno(t, "rename onto a full directory", unix.Rename(r.path(".a"), r.path(".full")), syscall.ENOTEMPTY)
	wantErrno(t, "rename onto an empty directory", unix.Rename(r.path(".a"), r.path(".empty")), 0)
	wantErrno(t, "rename to a new name", unix.Rename(r.path(".empty"), r.path(".new")), 0)
	wantErrno(t, "rename into another", unix.Rename(r.path(".new"), r.path(".full", "new")), 0)
	wantErrno(t, "rename into itself", unix.Rename(r.path(".full"), r.path(".full", "new", "x")), syscall.EINVAL)
	_, err = f.Write(content[500:])
	must(t, err)
	must(t, f.Close())
	moved := r.path(".full", "new", "sub", "data")
	wantContent(t, moved, content)
	must(t, os.Rename(moved, r.blob(digest.FromBytes(content))))
	r.wantBlob(t, content)
	wantNames(t, r.mnt, listed(".full")...)
}

// Each directory has an ingest of its own, so that builds that use a directory each do not meet.
func TestIngestIsEachLayoutsOwn(t *testing.T) {
	r := testMount(t)
	must(t, os.Mkdir(r.path("app"), 0o755))
	a := beginIngest(t, r.mnt, "same ref", 5)
	b := beginIngest(t, r.path("app"), "same ref", 6)
	a.write([]byte("first"))
	b.write([]byte("second"))
	for _, w := range []struct {
		*ingest
		content string
	}{{a, "first"}, {b, "second"}} {
		_, err := w.commit(digest.FromString(w.content))
		must(t, err)
		r.wantBlob(t, []byte(w.content))
	}
}

// All layouts share one pool.
func TestBlobsAreFoundInEveryLayout(t *testing.T) {
	r, d, content := existing(t, 1000)
	beginStore(t, r.path("app"))
	wantContent(t, r.blob(d, "app"), content)
	r.blobs.hide("app", d)
	wantNames(t, r.path("app", "blobs", "sha256"))
	wantContent(t, r.blob(d, "app"), content)
	must(t, os.Remove(r.blob(d, "app")))
	r.wantNoBlob(t, d)
}

// A directory of a name may be open while the name is deleted. What is at its place then must not lead those who
// have it open to elsewhere on this host, where the daemon may write and they may not.
func TestLinkAtANameLeadsNowhere(t *testing.T) {
	r := testMount(t, freshNames)
	elsewhere := t.TempDir()
	must(t, os.Mkdir(r.path(".dir"), 0o755))
	must(t, os.Symlink(elsewhere, r.path(".dir", "link")))
	for name, link := range map[string]func(path string) error{
		"symlink": func(path string) error { return os.Symlink(elsewhere, path) },
		"rename":  func(path string) error { return os.Rename(r.path(".dir", "link"), path) },
	} {
		r.names.set(name, emptyIndex)
		dir := openFile(t, r.path(name), os.O_RDONLY)
		r.names.remove(name)
		inTime(t, "the end of what the kernel remembers of a name", func() {
			for _, err := os.Stat(r.path(name)); err == nil; _, err = os.Stat(r.path(name)) {
			}
		})
		wantErrno(t, name, link(r.path(name)), syscall.EPERM)
		if fd, err := unix.Openat(int(dir.Fd()), "file", unix.O_CREAT|unix.O_WRONLY, 0o644); err == nil {
			must(t, unix.Close(fd))
		}
		must(t, dir.Close())
		wantNames(t, elsewhere)
	}
}

// Odd names are names, too.
var oddNames = []string{
	"größe-日本語", "with space", "-rf", "*", "new\nline", "tab\t", "a:b", `back\slash`, "\xff\xfe", "%2e", strings.Repeat("n", 255),
	"sha256:x", "UPPER", "~", "$HOME", "index.json.bak", "blobs2", "ingestion",
}

func TestOddNames(t *testing.T) {
	r := testMount(t, freshNames)
	for i, name := range oddNames {
		if i%2 == 0 {
			beginLayout(t, r.path(name))
		} else {
			r.names.set(name+"/sub", emptyIndex)
		}
		r.wantLayout(t, name)
	}
	wantNames(t, r.mnt, listed(oddNames...)...)
	long := strings.Repeat("n", 256)
	wantErrno(t, "mkdir of 256 bytes", os.Mkdir(r.path(long), 0o755), syscall.ENAMETOOLONG)
	_, err := os.Stat(r.path(long))
	wantErrno(t, "stat of 256 bytes", err, syscall.ENAMETOOLONG)
}

// A bucket may have names that no directory can have. They do not spoil the listing.
func TestNamesThatNoDirectoryCanHave(t *testing.T) {
	r := testMount(t, freshNames)
	for _, name := range []string{
		"index.json", "oci-layout/x", "blobs/y", "ingest", ".", "..", ".hidden", strings.Repeat("n", 256),
		strings.Repeat("n", 1025), "nul\x00",
	} {
		r.names.set(name, emptyIndex)
	}
	r.names.set("good", emptyIndex)
	wantNames(t, r.mnt, listed("good")...)
	mustShell(t, `ls -l "$1"`, r.mnt)
}

// A file that a client made stays a file when a name of that name appears.
func TestScratchFileAtAName(t *testing.T) {
	r := testMount(t, freshNames)
	put(t, r.path("app"), []byte("a file"))
	r.names.set("app", indexOf("latest"))
	wantContent(t, r.path("app"), []byte("a file"))
	wantNames(t, r.mnt, listed("app")...)
	must(t, os.Remove(r.path("app")))
	wantContent(t, r.path("app", "index.json"), []byte(indexOf("latest")))
}

func TestScratchFiles(t *testing.T) {
	r := testMount(t)
	must(t, os.Mkdir(r.path("app"), 0o755))
	for _, dir := range []string{"", "app", "blobs/sha256"} {
		p := path.Join(r.mnt, dir, "file")
		f := openFile(t, p, os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND)
		for _, part := range []string{"one ", "two ", "three"} {
			_, err := f.WriteString(part)
			must(t, err)
		}
		wantContent(t, p, []byte("one two three"))
		must(t, f.Truncate(3))
		_, err := f.WriteString("!")
		must(t, err)
		must(t, f.Chmod(0o600))
		at := time.Unix(1_700_000_000, 123_456_789)
		must(t, f.Close())
		must(t, os.Chtimes(p, at, at))
		info, err := os.Stat(p)
		must(t, err)
		if info.Mode() != 0o600 || !info.ModTime().Equal(at) || info.Size() != 4 {
			t.Errorf("%s is %v from %v with %d bytes", p, info.Mode(), info.ModTime(), info.Size())
		}
		fd, err := unix.Open(p, unix.O_RDONLY|unix.O_TRUNC, 0)
		must(t, err)
		must(t, unix.Close(fd))
		wantContent(t, p, nil)
		must(t, os.Remove(p))
	}
}

func TestScratchFileWithHoles(t *testing.T) {
	r := testMount(t)
	f := openFile(t, r.path("file"), os.O_CREATE|os.O_RDWR)
	must(t, f.Truncate(1<<20))
	_, err := f.WriteAt([]byte("data"), 512<<10)
	must(t, err)
	wantSeek(t, f, unix.SEEK_DATA, 0, 512<<10)
	wantSeek(t, f, unix.SEEK_HOLE, 512<<10, 516<<10)
	must(t, unix.Fallocate(int(f.Fd()), 0, 1<<20, 1<<20))
	wantSize(t, f, 2<<20)
	must(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 512<<10, 4096))
	wantSeek(t, f, unix.SEEK_END, 0, 2<<20)
	must(t, f.Close())
	wantContent(t, r.path("file"), make([]byte, 2<<20))
}
