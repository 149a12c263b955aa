package fs

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func (r *rig) wantPublished(t testing.TB, want ...publication) {
	t.Helper()
	got := r.names.publications()
	if len(got) != len(want) {
		t.Errorf("published %d times: %q; want %q", len(got), got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("publication %d is %q; want %q", i, got[i], want[i])
		}
	}
}

func TestEmptyBucketIsAnEmptyLayout(t *testing.T) {
	r := testMount(t)
	wantContent(t, r.path("index.json"), []byte(emptyIndex))
	wantContent(t, r.path("oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
	wantNames(t, r.mnt, "blobs", "index.json", "oci-layout")
	wantNames(t, r.path("blobs"), "sha256")
	wantNames(t, r.path("blobs", "sha256"))
	info, err := os.Stat(r.path("index.json"))
	must(t, err)
	if info.Mode() != 0o644 || info.Size() != int64(len(emptyIndex)) {
		t.Errorf("index.json is %v with %d bytes", info.Mode(), info.Size())
	}
}

// Each open sees what is published by then; a handle sees one state of it.
func TestIndexIsFreshAtEachOpen(t *testing.T) {
	r := testMount(t)
	path := r.path("index.json")
	old := []byte(emptyIndex)
	for _, tags := range [][]string{{"a"}, {"a", "b"}, {}, {"a long tag that makes it longer"}} {
		before := openFile(t, path, os.O_RDONLY)
		content := []byte(indexOf(tags...))
		r.names.set("", string(content))
		wantContent(t, path, content)
		wantRead(t, before, 0, old)
		must(t, before.Close())
		inTime(t, "stat of the right length", func() { // once the handles have ended
			for info, err := os.Stat(path); err == nil && info.Size() != int64(len(content)); {
				info, err = os.Stat(path)
			}
		})
		old = content
	}
}

func TestIndexThatCannotBeRendered(t *testing.T) {
	r := testMount(t)
	r.names.failReading(errors.New("what is known is broken"))
	_, err := os.ReadFile(r.path("index.json"))
	wantErrno(t, "read", err, syscall.EIO)
	_, err = os.Stat(r.path("index.json"))
	wantErrno(t, "stat", err, syscall.EIO)
	r.names.failReading(nil)
	wantContent(t, r.path("index.json"), []byte(emptyIndex))
}

func TestIndexIsReadInParts(t *testing.T) {
	r := testMount(t)
	content := []byte(indexOf("one", "two", "three"))
	r.names.set("", string(content))
	f := openFile(t, r.path("index.json"), os.O_RDONLY)
	defer f.Close()
	wantRead(t, f, 100, content[100:])
	wantRead(t, f, int64(len(content)), nil)
	wantRead(t, f, int64(len(content))+1000, nil)
	wantSeek(t, f, unix.SEEK_END, 0, int64(len(content)))
	mustShell(t, `cp "$1" "$2" && cmp "$1" "$2"`, r.path("index.json"), r.path("copy"))
}

// index.json is replaced by rename, as go-containerregistry and skopeo do it.
func TestIndexIsReplacedByRename(t *testing.T) {
	r := testMount(t)
	before, after := indexOf("a"), indexOf("a", "b")
	r.names.set("", before)
	wantContent(t, r.path("index.json"), []byte(before))
	put(t, r.path("index.json.tmp"), []byte(after))
	must(t, os.Rename(r.path("index.json.tmp"), r.path("index.json")))
	r.wantPublished(t, publication{"", before, after})
	wantContent(t, r.path("index.json"), []byte(after))
	wantNames(t, r.mnt, "blobs", "index.json", "oci-layout")
	if left := r.scratch(t); len(left) > 0 {
		t.Errorf("scratch is left on local disk: %v", left)
	}
	// It goes on working: the node that was renamed is not the index.
	must(t, os.WriteFile(r.path("index.json"), []byte(before), 0o644))
	r.wantPublished(t, publication{"", before, after}, publication{"", after, before})
	put(t, r.path("again"), []byte(after))
	must(t, os.Rename(r.path("again"), r.path("index.json")))
	wantContent(t, r.path("index.json"), []byte(after))
}

// Who renames without having read, has changed what is published at that moment.
func TestIndexIsReplacedUnread(t *testing.T) {
	r := testMount(t)
	r.names.set("", indexOf("a"))
	put(t, r.path("new"), []byte(indexOf("b")))
	must(t, os.Rename(r.path("new"), r.path("index.json")))
	r.wantPublished(t, publication{"", indexOf("a"), indexOf("b")})
}

func TestRenameToIndexThatFails(t *testing.T) {
	r := testMount(t)
	content := indexOf("a")
	put(t, r.path("new"), []byte(content))
	r.names.failWith(errors.New("the bucket does not answer"))
	wantErrno(t, "rename", os.Rename(r.path("new"), r.path("index.json")), syscall.EIO)
	wantContent(t, r.path("new"), []byte(content))
	wantContent(t, r.path("index.json"), []byte(emptyIndex))
	// It is not index.json that is not there.
	r.names.failWith(fmt.Errorf("blob sha256:x is neither in the bucket nor here: %w", os.ErrNotExist))
	wantErrno(t, "rename when a blob is not there", os.Rename(r.path("new"), r.path("index.json")), syscall.EIO)
	_, err := buildKitPut(r.path("index.json"), content)
	wantErrno(t, "truncation when a blob is not there", err, syscall.EIO)
	r.names.failWith(nil)
	put(t, r.path("broken"), []byte(content[:40]))
	wantErrno(t, "rename of an incomplete index", os.Rename(r.path("broken"), r.path("index.json")), syscall.EIO)
	r.wantPublished(t)
	must(t, os.Rename(r.path("new"), r.path("index.json")))
	wantContent(t, r.path("index.json"), []byte(content))
}

// Layouts have these three, whatever clients do.
func TestWhatEveryLayoutHasStays(t *testing.T) {
	r := testMount(t)
	r.names.set("app", indexOf("latest"))
	for _, dir := range []string{r.mnt, r.path("app")} {
		for _, name := range []string{"index.json", "oci-layout"} {
			wantErrno(t, "unlink "+name, unix.Unlink(dir+"/"+name), syscall.EPERM)
			wantErrno(t, "rename "+name, os.Rename(dir+"/"+name, dir+"/other"), syscall.EPERM)
			_, err := unix.Open(dir+"/"+name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
			wantErrno(t, "exclusive creation of "+name, err, syscall.EEXIST)
			_, err = unix.Open(dir+"/"+name, unix.O_RDONLY|unix.O_TRUNC, 0)
			wantErrno(t, "truncation of "+name+" by a reader", err, syscall.EPERM)
			wantErrno(t, "truncate "+name, os.Truncate(dir+"/"+name, 3), syscall.EPERM)
			wantErrno(t, "mkdir "+name, os.Mkdir(dir+"/"+name, 0o755), syscall.EEXIST)
		}
		wantErrno(t, "rmdir blobs", unix.Rmdir(dir+"/blobs"), syscall.EPERM)
		wantErrno(t, "rmdir blobs/sha256", unix.Rmdir(dir+"/blobs/sha256"), syscall.EPERM)
		wantErrno(t, "rename blobs", unix.Rename(dir+"/blobs", dir+"/other"), syscall.EPERM)
		wantErrno(t, "rename blobs/sha256", unix.Rename(dir+"/blobs/sha256", dir+"/blobs/sha512"), syscall.EPERM)
		wantErrno(t, "mkdir blobs", os.Mkdir(dir+"/blobs", 0o755), syscall.EEXIST)
		wantErrno(t, "mkdir blobs/sha256", os.Mkdir(dir+"/blobs/sha256", 0o755), syscall.EEXIST)
		wantErrno(t, "mkdir blobs/md5", os.Mkdir(dir+"/blobs/md5", 0o755), syscall.EPERM)
		wantErrno(t, "mkdir in blobs/sha256", os.Mkdir(dir+"/blobs/sha256/new", 0o755), syscall.EPERM)
		wantErrno(t, "a file in blobs", os.WriteFile(dir+"/blobs/file", nil, 0o644), syscall.EPERM)
	}
	wantNames(t, r.path("app"), "blobs", "index.json", "oci-layout")
	wantNames(t, r.path("app", "blobs"), "sha256")
}

// rename(2) of a file onto a directory is EISDIR, whatever the directory is.
func TestRenameOntoWhatIsNoFile(t *testing.T) {
	r := testMount(t)
	put(t, r.path("file"), nil)
	must(t, os.Mkdir(r.path(".dir"), 0o755))
	for _, to := range []string{"blobs", "blobs/sha256", ".dir"} {
		wantErrno(t, "rename to "+to, unix.Rename(r.path("file"), r.path(to)), syscall.EISDIR)
	}
	wantErrno(t, "rename into blobs", unix.Rename(r.path("file"), r.path("blobs", "file")), syscall.EPERM)
	wantErrno(t, "rename of a directory into blobs", unix.Rename(r.path(".dir"), r.path("blobs", "sha512")), syscall.EPERM)
	wantErrno(t, "rename of a directory into blobs/sha256", unix.Rename(r.path(".dir"), r.path("blobs", "sha256", "x")), syscall.EPERM)
}

func TestIndexOfANameIsRemovedWithTheName(t *testing.T) {
	r := testMount(t)
	r.names.set("app", indexOf("latest"))
	wantErrno(t, "unlink", os.Remove(r.path("app", "index.json")), syscall.EPERM)
	r.names.allowDelete()
	wantErrno(t, "unlink of the root's", os.Remove(r.path("index.json")), syscall.EPERM)
	must(t, os.Remove(r.path("app", "index.json")))
	if _, err := r.names.Index(t.Context(), "app"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name is still there: %v", err)
	}
}
