package fs

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// kernelMount is a mount where the kernel writes scratch itself.
func kernelMount(t *testing.T) *rig {
	t.Helper()
	needRoot(t)
	return testMount(t)
}

// inodeOf is the number of a local file.
func inodeOf(t testing.TB, path string) uint64 {
	t.Helper()
	st, err := lstat(path)
	must(t, err)
	return st.Ino
}

// local is where scratch of the root layout is on local disk.
func (r *rig) localPath(name string) string { return filepath.Join(r.local, "tree", name) }

// A file that its writer has closed becomes the blob itself: nothing is copied.
func TestWhatIsClosedIsNotCopied(t *testing.T) {
	byBoth(t, func(t *testing.T, _ bool, r *rig) {
		for range 50 {
			content := randomly(10_000)
			put(t, r.path("tmp"), content)
			before := inodeOf(t, r.localPath("tmp"))
			must(t, os.Rename(r.path("tmp"), r.blob(digest.FromBytes(content))))
			if after := inodeOf(t, r.blobs.file(digest.FromBytes(content))); after != before {
				t.Fatal("the blob is another file than what was written")
			}
		}
	})
}

// Whoever has the file open for writing at the commit writes to a file of his own from then on. He is told when he
// wants to know, and nobody else sees what he wrote: neither readers that are earlier nor later, nor the pool.
func TestLateWritersAreAlone(t *testing.T) {
	r := kernelMount(t)
	content := randomly(300_000)
	d := digest.FromBytes(content)
	w := openFile(t, r.path("tmp"), os.O_RDWR|os.O_CREATE)
	_, err := w.Write(content)
	must(t, err)
	must(t, os.Rename(r.path("tmp"), r.blob(d)))
	early := openFile(t, r.blob(d), os.O_RDONLY)
	_, err = w.WriteAt([]byte("wrong"), 1000)
	must(t, err)
	_, err = w.WriteAt([]byte("and more"), 300_000)
	must(t, err)
	wantRead(t, early, 0, content)
	wantSize(t, early, 300_000)
	mapped := mapFile(t, r.blob(d))
	mapped.want(content)
	r.wantBlob(t, content)
	if !bytes.Equal(r.blobs.content(t, d), content) {
		t.Error("the pool has other bytes")
	}
	wantErrno(t, "ftruncate", w.Truncate(5), syscall.EPERM)
	wantErrno(t, "fallocate", unix.Fallocate(int(w.Fd()), 0, 0, 400_000), syscall.EPERM)
	wantErrno(t, "fsync", w.Sync(), syscall.EPERM)
	wantErrno(t, "close", w.Close(), syscall.EPERM)
	must(t, early.Close())
	mapped.end()
	r.wantBlob(t, content)
	if left := r.scratch(t); len(left) > 0 {
		t.Errorf("scratch is left on local disk: %v", left)
	}
}

// Who writes late what the blob has anyway is content: containerd's exports that share a folder write the same.
func TestLateWriterOfTheSameIsContent(t *testing.T) {
	r := kernelMount(t)
	content := randomly(300_000)
	w := openFile(t, r.path("tmp"), os.O_RDWR|os.O_CREATE)
	_, err := w.Write(content)
	must(t, err)
	must(t, os.Rename(r.path("tmp"), r.blob(digest.FromBytes(content))))
	_, err = w.WriteAt(content, 0)
	must(t, err)
	must(t, w.Sync())
	must(t, w.Close())
	r.wantBlob(t, content)
}

// A handle for reading that was opened before is not a way to what a late writer writes to memory that he mapped.
func TestReadersDoNotShareTheFileOfALateWriter(t *testing.T) {
	r := kernelMount(t)
	content := randomly(300_000)
	d := digest.FromBytes(content)
	put(t, r.path("tmp"), content)
	early := openFile(t, r.path("tmp"), os.O_RDONLY)
	mapped := mapFileForWriting(t, r.path("tmp"))
	must(t, os.Rename(r.path("tmp"), r.blob(d)))
	mapped.set(0, []byte("wrong"))
	r.wantBlob(t, content)
	late := openFile(t, r.blob(d), os.O_RDONLY)
	wantRead(t, late, 0, content)
	must(t, late.Close())
	must(t, early.Close())
	mapped.end()
	r.wantBlob(t, content)
}

// A commit that fails leaves the file to its writer, and no copy.
func TestCommitOfACopyThatFails(t *testing.T) {
	r := kernelMount(t)
	w := openFile(t, r.path("tmp"), os.O_RDWR|os.O_CREATE)
	_, err := w.WriteString("not yet")
	must(t, err)
	d := digest.FromString("complete")
	wantErrno(t, "rename", os.Rename(r.path("tmp"), r.blob(d)), syscall.EIO)
	r.wantNoBlob(t, d)
	if left := r.spooled(t); len(left) > 0 {
		t.Errorf("a copy is left: %v", left)
	}
	_, err = w.WriteAt([]byte("complete"), 0)
	must(t, err)
	must(t, w.Close())
	must(t, os.Rename(r.path("tmp"), r.blob(d)))
	r.wantBlob(t, []byte("complete"))
}

// Where the disk cannot hold both, the rename says so.
func TestCopyNeedsRoom(t *testing.T) {
	needRoot(t)
	m := &scarce{left: 9_000, cause: syscall.ENOSPC}
	r := testMount(t, func(o *Options) { o.Admit = m.admit })
	content := randomly(10_000)
	w := openFile(t, r.path("tmp"), os.O_RDWR|os.O_CREATE)
	_, err := w.Write(content)
	must(t, err)
	wantErrno(t, "rename", os.Rename(r.path("tmp"), r.blob(digest.FromBytes(content))), syscall.ENOSPC)
	must(t, w.Close())
	must(t, os.Rename(r.path("tmp"), r.blob(digest.FromBytes(content))))
	r.wantBlob(t, content)
}

// A client that outlives the daemon may have memory mapped from scratch, and the kernel lets it write there.
func TestWriterOfAnEarlierMount(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	daemon, mnt := startServer(t, dir)
	content := randomly(300_000)
	must(t, os.Mkdir(filepath.Join(mnt, "ingest"), 0o755))
	put(t, filepath.Join(mnt, "ingest", "data"), content)
	mapped := mapFileForWriting(t, filepath.Join(mnt, "ingest", "data"))
	must(t, daemon.Process.Kill())
	_ = daemon.Wait() // it says that it was killed
	must(t, CleanStale(mnt))
	r := mountIn(t, dir)
	must(t, os.Rename(r.path("ingest", "data"), r.blob(digest.FromBytes(content))))
	mapped.set(0, []byte("wrong"))
	r.wantBlob(t, content)
	mapped.end()
}

// The kernel writes scratch itself, the one that is opened again as well, and the daemon what is at the name of a
// blob.
func TestKernelWritesScratchItself(t *testing.T) {
	r := kernelMount(t)
	content := randomly(100_000)
	f := openFile(t, r.path("file"), os.O_CREATE|os.O_RDWR)
	r.wantKernel(t, "made", 1)
	_, err := f.Write(content)
	must(t, err)
	again := openFile(t, r.path("file"), os.O_WRONLY|os.O_APPEND)
	r.wantKernel(t, "opened again", 2)
	_, err = again.WriteString("end")
	must(t, err)
	must(t, again.Close())
	wantSize(t, f, 100_003)
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	must(t, err)
	if !bytes.Equal(got, append(content, "end"...)) {
		t.Error("the file has other bytes")
	}
	must(t, f.Close())
	blob := openFile(t, r.blob(digest.FromBytes(content)), os.O_CREATE|os.O_WRONLY)
	r.wantKernel(t, "at the name of a blob", 0)
	_, err = blob.Write(content)
	must(t, err)
	must(t, blob.Close())
}

// wantKernel fails unless the kernel comes to have that many handles to write through.
func (r *rig) wantKernel(t testing.TB, what string, want int) {
	t.Helper()
	inTime(t, what, func() {
		for got := -1; got != want; {
			room := &r.srv.tree.room
			room.mu.Lock()
			got = room.writers
			room.mu.Unlock()
		}
	})
}
