package fs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unsafe"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// dirent is an entry as the kernel gives it, with the place in the listing behind it.
type dirent struct {
	name string
	off  int64
}

// getdents reads the listing on from where it is.
func getdents(t *testing.T, dir *os.File) []dirent {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Getdents(int(dir.Fd()), buf)
	must(t, err)
	var found []dirent
	for buf = buf[:n]; len(buf) > 0; {
		d := (*unix.Dirent)(unsafe.Pointer(&buf[0]))
		name := unix.ByteSliceToString(buf[unsafe.Offsetof(d.Name):d.Reclen])
		found = append(found, dirent{name, d.Off})
		buf = buf[d.Reclen:]
	}
	return found
}

func getAllDents(t *testing.T, dir *os.File) []dirent {
	t.Helper()
	var all []dirent
	for {
		some := getdents(t, dir)
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

// manyBlobs is a mount with n blobs, and their names in order.
func manyBlobs(t *testing.T, n int) (*rig, []string) {
	t.Helper()
	r := testMount(t)
	var want []string
	for i := range n {
		d := digest.FromString(fmt.Sprint(i))
		r.blobs.know(d, 1)
		want = append(want, d.Encoded())
	}
	slices.Sort(want)
	return r, want
}

func TestTenThousandBlobsAreListed(t *testing.T) {
	r, want := manyBlobs(t, 10_000)
	wantNames(t, r.path("blobs", "sha256"), want...)
	matches, err := filepath.Glob(r.path("blobs", "sha256", "*"))
	if err != nil || len(matches) != len(want) {
		t.Errorf("glob finds %d, %v", len(matches), err)
	}
}

// telldir and seekdir, wherever they lead.
func TestListingGoesOnFromAnyPlace(t *testing.T) {
	r, want := manyBlobs(t, 1000)
	for _, path := range []string{r.path("blobs", "sha256"), r.path("blobs"), r.mnt} {
		dir := openFile(t, path, os.O_RDONLY)
		all := getAllDents(t, dir)
		if path == r.path("blobs", "sha256") && len(all) != len(want)+2 {
			t.Errorf("%d are listed", len(all))
		}
		for _, i := range []int{len(all) - 1, len(all) / 2, 0, len(all) / 3} {
			_, err := dir.Seek(all[i].off, 0)
			must(t, err)
			if rest := getAllDents(t, dir); !slices.Equal(rest, all[i+1:]) {
				t.Errorf("%s: from place %d on, %d are listed; want %d", path, i, len(rest), len(all)-i-1)
			}
		}
		_, err := dir.Seek(0, 0)
		must(t, err)
		if again := getAllDents(t, dir); !slices.Equal(again, all) {
			t.Errorf("%s: %d are listed again; want %d", path, len(again), len(all))
		}
		must(t, dir.Close())
	}
}

func TestFilesAreListedAsWhatTheyAre(t *testing.T) {
	r := testMount(t)
	content := randomly(10)
	d := r.blobs.add(t, content)
	must(t, os.Symlink("x", r.path(".link")))
	must(t, os.Mkdir(r.path(".dir"), 0o755))
	put(t, r.path("file"), nil)
	put(t, r.path("blobs", "sha256", "tmp"), nil)
	for dir, want := range map[string]map[string]os.FileMode{
		r.mnt: {
			"blobs": os.ModeDir, "index.json": 0, "oci-layout": 0, ".link": os.ModeSymlink, ".dir": os.ModeDir, "file": 0,
		},
		r.path("blobs", "sha256"): {"tmp": 0, d.Encoded(): 0},
	} {
		entries, err := os.ReadDir(dir)
		must(t, err)
		if len(entries) != len(want) {
			t.Errorf("%s lists %v", dir, entries)
		}
		for _, e := range entries {
			if mode, ok := want[e.Name()]; !ok || e.Type() != mode {
				t.Errorf("%s lists %s as %v", dir, e.Name(), e.Type())
			}
		}
	}
}

// What is being written at the name of a blob that is there is listed once.
func TestBlobIsListedOnce(t *testing.T) {
	r, d, content := existing(t, 1000)
	half := digest.FromString("half")
	f := openFile(t, r.blob(half), os.O_CREATE|os.O_WRONLY)
	wantNames(t, r.path("blobs", "sha256"), d.Encoded(), half.Encoded())
	r.blobs.know(half, 4) // from another host, meanwhile
	wantNames(t, r.path("blobs", "sha256"), d.Encoded(), half.Encoded())
	must(t, f.Close())
	wantNames(t, r.path("blobs", "sha256"), d.Encoded(), half.Encoded())
	r.wantBlob(t, content)
}

func TestBlobsAreRemovedWhileTheyAreListed(t *testing.T) {
	r, _ := manyBlobs(t, 600)
	mustShell(t, `find "$1" -type f -delete`, r.path("blobs", "sha256"))
	wantNames(t, r.path("blobs", "sha256"))
}

// A listing that breaks off must not look like a short one.
func TestListingThatFails(t *testing.T) {
	r, _ := manyBlobs(t, 500)
	r.blobs.failListing(300)
	_, err := os.ReadDir(r.path("blobs", "sha256"))
	wantErrno(t, "listing", err, unix.EIO)
	r.blobs.failListing(0)
	entries, err := os.ReadDir(r.path("blobs", "sha256"))
	if err != nil || len(entries) != 500 {
		t.Errorf("%d are listed, %v", len(entries), err)
	}
}

// An abandoned listing holds nothing back.
func TestListingIsAbandoned(t *testing.T) {
	r, _ := manyBlobs(t, 2000)
	for range 20 {
		dir := openFile(t, r.path("blobs", "sha256"), os.O_RDONLY)
		if some := getdents(t, dir); len(some) == 0 {
			t.Error("nothing is listed")
		}
		must(t, dir.Close())
	}
}

func TestStatfsTellsOfLocalDisk(t *testing.T) {
	r := testMount(t)
	put(t, r.path("file"), nil)
	var local, got unix.Statfs_t
	must(t, unix.Statfs(r.local, &local))
	for _, path := range []string{r.mnt, r.path("blobs"), r.path("blobs", "sha256"), r.path("index.json"), r.path("oci-layout"), r.path("file")} {
		must(t, unix.Statfs(path, &got))
		if got.Type != unix.FUSE_SUPER_MAGIC || got.Blocks != local.Blocks || got.Bsize != local.Bsize || got.Namelen != 255 || got.Bavail == 0 {
			t.Errorf("statfs of %s tells %+v; of local disk %+v", path, got, local)
		}
	}
}
