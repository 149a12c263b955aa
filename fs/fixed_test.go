package fs

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// TestDirectoryBeginsEmpty holds that a new directory has what clients make in it, as a folder elsewhere, until
// a name is published there.
func TestDirectoryBeginsEmpty(t *testing.T) {
	r := testMount(t, freshNames)
	must(t, os.Mkdir(r.path("app"), 0o755))
	wantNames(t, r.path("app"))
	for _, name := range layoutFiles {
		_, err := os.Stat(r.path("app", name))
		wantErrno(t, "stat "+name, err, syscall.ENOENT)
		wantErrno(t, "unlink "+name, unix.Unlink(r.path("app", name)), syscall.ENOENT)
	}
	wantErrno(t, "rmdir blobs", unix.Rmdir(r.path("app", "blobs")), syscall.ENOENT)

	must(t, os.Mkdir(r.path("app", "blobs"), 0o755))
	wantNames(t, r.path("app", "blobs"))
	must(t, os.Mkdir(r.path("app", "blobs", "sha256"), 0o755))
	wantErrno(t, "mkdir again", os.Mkdir(r.path("app", "blobs", "sha256"), 0o755), syscall.EEXIST)
	for _, name := range []string{"index.json", "oci-layout"} {
		fd, err := unix.Open(r.path("app", name), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
		must(t, err)
		must(t, unix.Close(fd))
		_, err = unix.Open(r.path("app", name), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
		wantErrno(t, "exclusive creation of "+name+" again", err, syscall.EEXIST)
	}
	r.remount(t, freshNames)
	wantNames(t, r.path("app"), layoutFiles...)
	wantNames(t, r.path("app", "blobs"), "sha256")
	r.wantLayout(t, "app")
}

func TestLayoutThatWasBegunIsRemoved(t *testing.T) {
	r := testMount(t, freshNames)
	beginLayout(t, r.path("app"))
	put(t, r.blob(digest.FromString("blob"), "app"), []byte("blob"))
	mustShell(t, `rm -r "$1"`, r.path("app"))
	wantNames(t, r.mnt, layoutFiles...)
	r.names.set("app", indexOf("latest"))
	inTime(t, "the name of another host", func() {
		for {
			if b, err := os.ReadFile(r.path("app", "index.json")); err == nil && string(b) == indexOf("latest") {
				return
			}
		}
	})
}

// TestDirectoryThatWasRemovedBeginsAnew publishes, has the name deleted, and makes the directory once more.
func TestDirectoryThatWasRemovedBeginsAnew(t *testing.T) {
	r := testMount(t, freshNames)
	beginLayout(t, r.path("app"))
	r.wantLayout(t, "app")
	r.names.remove("app")
	must(t, os.RemoveAll(r.path("app")))
	must(t, os.Mkdir(r.path("app"), 0o755))
	wantNames(t, r.path("app"))
	r.names.set("app", indexOf("latest"))
	wantNames(t, r.path("app"), layoutFiles...)
}

// TestDirectoryBecomesWhole has another host publish to a directory that a client began, and delete that.
func TestDirectoryBecomesWhole(t *testing.T) {
	r := testMount(t, freshNames)
	content := randomly(1000)
	d := r.blobs.add(t, content)
	must(t, os.Mkdir(r.path("app"), 0o755))
	wantNames(t, r.path("app"))
	r.names.set("app/v1", indexOf("latest"))
	wantNames(t, r.path("app"), listed("v1")...)
	wantNames(t, r.path("app", "blobs"), "sha256")
	wantContent(t, r.blob(d, "app"), content)
	wantErrno(t, "mkdir blobs", os.Mkdir(r.path("app", "blobs"), 0o755), syscall.EEXIST)
	wantErrno(t, "unlink oci-layout", unix.Unlink(r.path("app", "oci-layout")), syscall.EPERM)
	wantErrno(t, "rmdir blobs/sha256", unix.Rmdir(r.path("app", "blobs", "sha256")), syscall.EPERM)
	r.names.remove("app/v1")
	wantNames(t, r.path("app"))
}

// TestDirectoryStaysWhole has another host publish to a directory that a client began, and then this client, which
// found all of a layout there and made none of it.
func TestDirectoryStaysWhole(t *testing.T) {
	r := testMount(t, freshNames)
	must(t, os.Mkdir(r.path("app"), 0o755))
	r.names.set("app", indexOf("latest"))
	_, err := buildKitPut(r.path("app", "index.json"), indexOf("latest", "mine"))
	must(t, err)
	wantNames(t, r.path("app"), layoutFiles...)
	r.wantLayout(t, "app")
}

// TestWhatIsPublishedFromHereIsOfNoOtherHost looks at a directory that a client makes while its index.json is in the bucket
// already and not yet acknowledged: there is what the client made, then as well as afterwards.
func TestWhatIsPublishedFromHereIsOfNoOtherHost(t *testing.T) {
	r := testMount(t, freshNames)
	must(t, os.Mkdir(r.path("app"), 0o755))
	r.names.whenPublishing(func() {
		r.names.set("app", indexOf("latest"))
		wantNames(t, r.path("app"), "index.json")
	})
	_, err := buildKitPut(r.path("app", "index.json"), indexOf("latest"))
	must(t, err)
	wantNames(t, r.path("app"), "index.json")
}

// TestPublishedLayoutIsKept holds that what a client made and published is removed as what others published is:
// not at all, or with its name.
func TestPublishedLayoutIsKept(t *testing.T) {
	r := testMount(t, freshNames)
	beginLayout(t, r.path("app"))
	r.wantLayout(t, "app")
	for _, name := range []string{"index.json", "oci-layout"} {
		wantErrno(t, "unlink "+name, unix.Unlink(r.path("app", name)), syscall.EPERM)
	}
	for _, name := range []string{"blobs/sha256", "blobs"} {
		wantErrno(t, "rmdir "+name, unix.Rmdir(r.path("app", name)), syscall.EPERM)
	}
	r.wantLayout(t, "app")
	r.names.allowDelete()
	must(t, os.Remove(r.path("app", "index.json")))
	wantNames(t, r.path("app"), "blobs", "ingest", "oci-layout")
	r.names.set("app", indexOf("latest"))
	wantNames(t, r.path("app"), listed("ingest")...)
	wantContent(t, r.path("app", "index.json"), []byte(indexOf("latest")))
}

func TestOddThingsAtTheNamesOfALayout(t *testing.T) {
	r := testMount(t)
	must(t, os.Mkdir(r.path("app"), 0o755))
	put(t, r.path("file"), []byte("no JSON"))
	for name, want := range map[string]syscall.Errno{"index.json": syscall.EIO, "oci-layout": syscall.EINVAL} {
		wantErrno(t, "mkdir "+name, os.Mkdir(r.path("app", name), 0o755), syscall.EPERM)
		wantErrno(t, "rename of what cannot be it to "+name, os.Rename(r.path("file"), r.path("app", name)), want)
	}
	for _, name := range layoutFiles {
		wantErrno(t, "symlink "+name, os.Symlink("x", r.path("app", name)), syscall.EPERM)
		wantErrno(t, "mknod "+name, unix.Mknod(r.path("app", name), unix.S_IFREG|0o644, 0), syscall.EPERM)
	}
	wantErrno(t, "a file blobs", os.WriteFile(r.path("app", "blobs"), nil, 0o644), syscall.EISDIR)
	wantErrno(t, "rename to blobs", os.Rename(r.path("file"), r.path("app", "blobs")), syscall.EEXIST)
	wantNames(t, r.path("app"))
}

// TestToolsMakeALayout copies a layout to where there is none with what there is on every machine.
func TestToolsMakeALayout(t *testing.T) {
	layout := t.TempDir()
	blobs := filepath.Join(layout, "blobs", "sha256")
	must(t, os.MkdirAll(blobs, 0o755))
	index := indexOf("latest")
	put(t, filepath.Join(layout, "index.json"), []byte(index))
	put(t, filepath.Join(layout, "oci-layout"), []byte(layoutContent))
	var contents [][]byte
	for _, size := range []int{0, 1, 100_000} {
		contents = append(contents, randomly(size))
		put(t, filepath.Join(blobs, digest.FromBytes(contents[len(contents)-1]).Encoded()), contents[len(contents)-1])
	}
	for name, script := range map[string]string{
		"cp -r":             `cp -r "$1" "$2"`,
		"cp -a":             `cp -a "$1" "$2"`,
		"cp -r to a folder": `mkdir "$2" && cp -r "$1"/. "$2"`,
		"tar":               `mkdir "$2" && tar c -C "$1" . | tar x -C "$2"`,
		"mv":                `cp -r "$1" "$1.copy" && mv "$1.copy" "$2"`,
		"write and rename":  `cd "$1" && mkdir -p "$2/blobs/sha256" && for f in oci-layout blobs/sha256/* index.json; do cp "$f" "$2/.tmp" && mv "$2/.tmp" "$2/$f"; done`,
	} {
		t.Run(name, func(t *testing.T) {
			r := testMount(t)
			for _, scope := range []string{"app", "again"} { // where all blobs are in the pool
				mustShell(t, script, layout, r.path(scope))
				if all := r.names.publications(); len(all) == 0 || all[len(all)-1].scope != scope || all[len(all)-1].after != index {
					t.Errorf("published: %q", all)
				}
				for _, content := range contents {
					r.wantBlob(t, content)
					wantContent(t, r.blob(digest.FromBytes(content), scope), content)
				}
				wantNames(t, r.path(scope), layoutFiles...)
			}
		})
	}
}

// TestBlobsOfThePoolInANewDirectory holds who sees them: a content store, and everybody when the directory is
// finished.
func TestBlobsOfThePoolInANewDirectory(t *testing.T) {
	r, d, content := existing(t, 1000)
	beginLayout(t, r.path("app"))
	_, err := os.Stat(r.blob(d, "app"))
	wantErrno(t, "stat in a directory that is made", err, syscall.ENOENT)
	wantNames(t, r.path("app", "blobs", "sha256"))
	put(t, r.blob(d, "app"), content)
	wantContent(t, r.blob(d, "app"), content)

	beginStore(t, r.path("store"))
	wantContent(t, r.blob(d, "store"), content)
	wantNames(t, r.path("store", "blobs", "sha256"), d.Encoded())
}

func TestDirectoryIsFinishedWhenItIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, other := digest.FromString("own"), digest.FromString("other")
		var b begun
		if b.isAlone() || b.isForeign(other) {
			t.Error("a directory that no client made has blobs of others")
		}
		b.begin()
		b.wrote(own)
		if !b.isAlone() || b.isForeign(own) || !b.isForeign(other) {
			t.Error("it does not tell its own blobs from others")
		}
		time.Sleep(quiet - 1)
		if b.isQuiet() {
			t.Error("it is quiet early")
		}
		time.Sleep(time.Nanosecond)
		if !b.isQuiet() {
			t.Error("it is not quiet")
		}
		b.wrote("")
		if b.isQuiet() {
			t.Error("it is quiet while it is written to")
		}
		b.end()
		if b.isAlone() || b.isForeign(other) {
			t.Error("it has blobs of others after it was removed")
		}
	})
}
