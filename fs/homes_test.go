package fs

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// looking looks paths up all the time, as others do, until the returned function is called.
func looking(paths ...string) (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	for i := range 3 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					var st unix.Stat_t
					_ = unix.Stat(paths[i%len(paths)], &st) // it may be there or not
				}
			}
		})
	}
	return func() {
		close(done)
		group.Wait()
	}
}

// A lookup that is overtaken by a rename must not lead to a second node of the file: it would have a gate of
// its own, and a writer would go on writing to a blob.
func TestFileIsTheSameWhereverItIsMoved(t *testing.T) {
	r := testMount(t, daemonWrites)
	dst := r.path("dst")
	defer looking(dst)()
	for i := range 80 {
		content := fmt.Append(nil, i, " is the content of a file")
		d := digest.FromBytes(content)
		put(t, dst, []byte("what is replaced"))
		f := openFile(t, r.path("src"), os.O_CREATE|os.O_RDWR)
		_, err := f.Write(content)
		must(t, err)
		must(t, os.Rename(r.path("src"), dst))
		must(t, os.Rename(dst, r.blob(d)))
		_, err = f.WriteAt([]byte("wrong"), 0)
		wantErrno(t, "write to the blob", err, syscall.EPERM)
		_ = f.Close() // Linux may tell of the refused write once more
		r.wantBlob(t, content)
	}
}

// What was looked up before its directory was renamed is where it is now.
func TestDirectoryIsTheSameWhereverItIsMoved(t *testing.T) {
	r := testMount(t)
	must(t, os.Mkdir(r.path("ingest"), 0o755))
	a, b := r.path("ingest", "a"), r.path("ingest", "b")
	must(t, os.MkdirAll(a+"/sub", 0o755))
	put(t, a+"/sub/file", []byte("content"))
	must(t, os.Mkdir(b, 0o755))
	defer looking(a+"/sub/file", b+"/sub/file", a, b)()
	f := openFile(t, a+"/sub/file", os.O_RDWR)
	for range 50 {
		must(t, unix.Rename(a, b))
		must(t, f.Chmod(0o600))
		wantContent(t, b+"/sub/file", []byte("content"))
		must(t, os.Mkdir(a, 0o755))
		a, b = b, a
	}
	must(t, f.Close())
	must(t, os.Rename(a+"/sub/file", r.blob(digest.FromString("content"))))
	r.wantBlob(t, []byte("content"))
}

// Nothing is remembered of files that are gone.
func TestNodesLastAsLongAsTheirFiles(t *testing.T) {
	r := testMount(t)
	for i := range 10 {
		content := fmt.Append(nil, i)
		ingested(t, r.mnt, content)
		put(t, r.blob(digest.FromBytes(append(content, 'x'))), append(content, 'x'))
		half := openFile(t, r.blob(digest.FromString(fmt.Sprint("half", i))), os.O_CREATE|os.O_WRONLY)
		must(t, half.Close())
		r.wantNothingThere(t, digest.FromString(fmt.Sprint("half", i)))
		must(t, os.Symlink("x", r.path(".link")))
		must(t, os.Remove(r.path(".link")))
		put(t, r.path("index.json.new"), []byte(indexOf("a")))
		must(t, os.Rename(r.path("index.json.new"), r.path("index.json")))
	}
	homes := &r.srv.tree.homes
	homes.mu.Lock()
	defer homes.mu.Unlock()
	if len(homes.at) != 1 { // that of ingest
		t.Errorf("%d nodes are remembered: %v", len(homes.at), homes.at)
	}
}
