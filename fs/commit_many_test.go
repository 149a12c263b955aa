package fs

import (
	"os"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// A shell that duplicates the descriptor closes it more than once; a writer that is not done yet must not
// lose its file to the first of these.
func TestDuplicatedDescriptors(t *testing.T) {
	r := testMount(t)
	content := []byte("first second")
	d := digest.FromBytes(content)
	f, err := os.Create(r.blob(d))
	must(t, err)
	closeDuplicate := func() error {
		fd, err := unix.Dup(int(f.Fd()))
		must(t, err)
		return unix.Close(fd)
	}
	wantErrno(t, "close before anything is written", closeDuplicate(), 0)
	_, err = f.WriteString("first ")
	must(t, err)
	wantErrno(t, "close in the midst", closeDuplicate(), syscall.EIO)
	wantErrno(t, "close in the midst again", closeDuplicate(), syscall.EIO)
	must(t, f.Truncate(0))
	wantErrno(t, "close of what begins anew", closeDuplicate(), 0)
	_, err = f.WriteAt(content, 0)
	must(t, err)
	wantErrno(t, "close when it is complete", closeDuplicate(), 0)
	r.wantBlob(t, content)
	_, err = f.WriteString("third")
	wantErrno(t, "write to the blob", err, syscall.EPERM)
	wantErrno(t, "the last close", f.Close(), 0)
	r.wantBlob(t, content)
}

func TestTwoWritersOfOneBlob(t *testing.T) {
	r := testMount(t)
	content := []byte("first second")
	d := digest.FromBytes(content)
	a, err := os.OpenFile(r.blob(d), os.O_WRONLY|os.O_CREATE, 0o644)
	must(t, err)
	b, err := os.OpenFile(r.blob(d), os.O_WRONLY|os.O_CREATE, 0o644)
	must(t, err)
	_, err = a.WriteString("first ")
	must(t, err)
	wantErrno(t, "close of the first", a.Close(), syscall.EIO)
	_, err = b.WriteAt([]byte("second"), 6)
	must(t, err)
	wantErrno(t, "close of the second", b.Close(), 0)
	r.wantBlob(t, content)
}

// Writers of the same blob in two layouts, or by two names, do not disturb each other.
func TestBlobIsCommittedTwice(t *testing.T) {
	r := testMount(t)
	content := randomly(10_000)
	d := digest.FromBytes(content)
	beginLayout(t, r.path("app"))
	for _, path := range []string{"one", "two"} {
		put(t, r.path(path), content)
	}
	f, err := os.Create(r.blob(d, "app"))
	must(t, err)
	_, err = f.Write(content)
	must(t, err)
	must(t, os.Rename(r.path("one"), r.blob(d)))
	must(t, os.Rename(r.path("two"), r.blob(d)))
	must(t, f.Close())
	r.wantBlob(t, content)
	wantContent(t, r.blob(d, "app"), content)
	put(t, r.path("three"), []byte("other bytes"))
	wantErrno(t, "rename of other bytes", os.Rename(r.path("three"), r.blob(d)), syscall.EIO)
	r.wantBlob(t, content)
}

// What a rename to the name of a blob replaces is what someone else is writing there.
func TestRenameDisplacesAHalfWrittenBlob(t *testing.T) {
	r := testMount(t)
	content := randomly(10_000)
	d := digest.FromBytes(content)
	half, err := os.Create(r.blob(d))
	must(t, err)
	_, err = half.Write(content[:100])
	must(t, err)
	put(t, r.path("tmp"), content)
	must(t, os.Rename(r.path("tmp"), r.blob(d)))
	r.wantBlob(t, content)
	_, err = half.Write(content[100:200])
	wantErrno(t, "write to what was displaced", err, 0)
	wantErrno(t, "its close", half.Close(), 0)
	r.wantBlob(t, content)
	if left := r.scratch(t); len(left) > 0 {
		t.Errorf("scratch is left on local disk: %v", left)
	}
}
