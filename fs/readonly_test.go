package fs

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BuildKit and containerd take EROFS for a cache that they only read; any other errno fails a build.
func TestReadOnlyMount(t *testing.T) {
	r := testMount(t)
	put(t, r.path("file"), []byte("scratch"))
	must(t, os.MkdirAll(r.path("ingest", "dir"), 0o755))
	put(t, r.path("ingest", "dir", "file"), nil)
	r.names.set("app", indexOf("latest"))
	content := randomly(10_000)
	d := r.blobs.add(t, content)
	r.remount(t, func(o *Options) { o.ReadOnly = true })

	r.wantBlob(t, content)
	wantContent(t, r.blob(d, "app"), content)
	wantContent(t, r.path("index.json"), []byte(emptyIndex))
	wantContent(t, r.path("app", "index.json"), []byte(indexOf("latest")))
	wantContent(t, r.path("oci-layout"), []byte(layoutContent))
	wantContent(t, r.path("file"), []byte("scratch"))
	wantNames(t, r.path("blobs", "sha256"), d.Encoded())

	for name, do := range r.changes("blobs/sha256/" + d.Encoded()) {
		wantErrno(t, name, do(), syscall.EROFS)
	}
	if r.blobs.commits.Load() > 0 || len(r.names.publications()) > 0 {
		t.Error("a client of a read-only mount reached the bucket")
	}
	// What is there can be locked.
	if out, err := exec.Command("flock", "-n", "-s", r.path("index.json"), "true").CombinedOutput(); err != nil {
		t.Errorf("flock: %v: %s", err, out)
	}
}

// changes are all ways to change something: the blob, index.json, a name app, scratch that is there.
func (r *rig) changes(blob string) map[string]func() error {
	open := func(path string, flags int) func() error {
		return func() error {
			fd, err := unix.Open(r.path(path), flags, 0o644)
			if err == nil {
				_ = unix.Close(fd) // which is a failure anyway
			}
			return err
		}
	}
	return map[string]func() error{
		"create":                open("new", unix.O_CREAT|unix.O_WRONLY),
		"create a blob":         open("blobs/sha256/new", unix.O_CREAT|unix.O_WRONLY),
		"create a lock":         open("index.json.lock", unix.O_CREAT|unix.O_RDONLY),
		"open a blob":           open(blob, unix.O_RDWR),
		"truncate a blob":       open(blob, unix.O_WRONLY|unix.O_TRUNC),
		"open index.json":       open("index.json", unix.O_RDWR|unix.O_CREAT),
		"open a name's index":   open("app/index.json", unix.O_WRONLY),
		"open oci-layout":       open("oci-layout", unix.O_WRONLY|unix.O_TRUNC),
		"open scratch":          open("file", unix.O_RDWR),
		"a probe of fsverity":   func() error { _, err := os.MkdirTemp(r.mnt, ".fsverity-check-*"); return err },
		"mkdir of a name":       func() error { return os.Mkdir(r.path("new"), 0o755) },
		"mkdir in ingest":       func() error { return os.Mkdir(r.path("ingest", "new"), 0o755) },
		"mkdir of an algorithm": func() error { return os.Mkdir(r.path("blobs", "sha512"), 0o755) },
		"unlink of a blob":      func() error { return unix.Unlink(r.path(blob)) },
		"unlink of scratch":     func() error { return unix.Unlink(r.path("file")) },
		"unlink of an index":    func() error { return unix.Unlink(r.path("app", "index.json")) },
		"rmdir":                 func() error { return unix.Rmdir(r.path("ingest", "dir")) },
		"rename to a blob":      func() error { return os.Rename(r.path("file"), r.path("blobs", "sha256", "x")) },
		"rename to index.json":  func() error { return os.Rename(r.path("file"), r.path("index.json")) },
		"truncate":              func() error { return os.Truncate(r.path("file"), 0) },
		"chmod":                 func() error { return os.Chmod(r.path("file"), 0o600) },
		"chmod of a blob":       func() error { return os.Chmod(r.path(blob), 0o600) },
		"chtimes":               func() error { return os.Chtimes(r.path(blob), time.Now(), time.Now()) },
		"symlink":               func() error { return os.Symlink("x", r.path("link")) },
		"link":                  func() error { return os.Link(r.path("file"), r.path("link")) },
		"mknod":                 func() error { return unix.Mknod(r.path("node"), unix.S_IFREG|0o644, 0) },
		"setxattr":              func() error { return unix.Setxattr(r.path("file"), "user.x", []byte("x"), 0) },
	}
}
