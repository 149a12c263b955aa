package fs

import (
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

func inode(t testing.TB, path string) uint64 {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	return info.Sys().(*syscall.Stat_t).Ino
}

// wantLookedUp fails unless what is opened is what was looked up. cp and others take another inode for another
// file, and refuse it.
func wantLookedUp(t testing.TB, path string) {
	t.Helper()
	before := inode(t, path)
	f := openFile(t, path, os.O_RDONLY)
	info, err := f.Stat()
	must(t, err)
	if after := info.Sys().(*syscall.Stat_t).Ino; after != before {
		t.Errorf("inode %d was looked up, and %d was opened", before, after)
	}
	must(t, f.Close())
}

func TestBlobIsTheFileThatWasLookedUp(t *testing.T) {
	r := testMount(t)
	for range 60 {
		content := randomly(1000)
		path := r.blob(digest.FromBytes(content))
		must(t, os.WriteFile(path, content, 0o644))
		wantLookedUp(t, path)
		must(t, os.Remove(path))
		put(t, r.path("tmp"), content)
		must(t, os.Rename(r.path("tmp"), path))
		wantLookedUp(t, path)
	}
}

func TestBlobIsTheSameFileWhileItIsWrittenAgain(t *testing.T) {
	r, d, content := existing(t, 1000)
	var group sync.WaitGroup
	done := make(chan struct{})
	group.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				wantErrno(t, "write it again", os.WriteFile(r.blob(d), content, 0o644), 0)
			}
		}
	})
	for range 100 {
		wantLookedUp(t, r.blob(d))
	}
	close(done)
	group.Wait()
}

func TestInodeNumbers(t *testing.T) {
	r, d, content := existing(t, 1000)
	beginStore(t, r.path("app"))
	put(t, r.path("scratch"), content)
	seen := map[uint64]string{}
	for _, path := range []string{
		r.blob(d), r.blob(d, "app"), r.blob(r.blobs.add(t, []byte("another"))), r.path("scratch"), r.mnt, r.path("index.json"), r.path("blobs"),
	} {
		ino := inode(t, path)
		if other, ok := seen[ino]; ok {
			t.Errorf("%s and %s have the same number: %d", path, other, ino)
		}
		seen[ino] = path
	}
	before := inode(t, r.blob(d))
	r.remount(t)
	if after := inode(t, r.blob(d)); after != before {
		t.Errorf("the blob has the number %d in one mount and %d in another", before, after)
	}
	mustShell(t, `cp "$1" "$2" && cp "$2" "$1" && cp "$1" "$3" && cmp "$1" "$3"`, r.blob(d), r.blob(d, "app"), t.TempDir()+"/copy")
}
