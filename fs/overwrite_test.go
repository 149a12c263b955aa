package fs

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// existing is a mount with one blob.
func existing(t *testing.T, size int) (*rig, digest.Digest, []byte) {
	t.Helper()
	r := testMount(t)
	content := randomly(size)
	return r, r.blobs.add(t, content), content
}

func openFile(t testing.TB, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0o644)
	must(t, err)
	return f
}

func TestAnyToolMayWriteABlobAgain(t *testing.T) {
	r := testMount(t)
	for name, script := range waysToWrite {
		if name == "cat, appending" {
			continue // which is another content
		}
		t.Run(name, func(t *testing.T) {
			content := randomly(150_000)
			source := filepath.Join(t.TempDir(), "source")
			put(t, source, content)
			d := r.blobs.add(t, content)
			mustShell(t, script, r.blob(d), source, r.mnt)
			r.wantBlob(t, content)
		})
	}
}

func TestOtherBytesNeverReplaceABlob(t *testing.T) {
	r, d, content := existing(t, 150_000)
	source := filepath.Join(t.TempDir(), "source")
	put(t, source, append([]byte("x"), content...))
	for name, script := range map[string]string{
		"cp": `cp "$2" "$1"`, "cat": `cat "$2" > "$1"`, "append": `echo x >> "$1"`, "dd": `dd if="$2" of="$1" status=none`,
		"dd in place": `dd if="$2" of="$1" conv=notrunc status=none`, "truncate": `truncate -s 10 "$1"`,
		"mv": `cp "$2" "$3/tmp" && mv "$3/tmp" "$1"`,
	} {
		if said, err := shell(script, r.blob(d), source, r.mnt); err == nil {
			t.Errorf("%s is content: %s", name, said)
		}
		r.wantBlob(t, content)
	}
	if r.blobs.commits.Load() != 0 {
		t.Error("a commit succeeded")
	}
}

func TestOpenOfABlobForWriting(t *testing.T) {
	r, d, content := existing(t, 10_000)
	for _, tc := range []struct {
		name         string
		flags        int
		write        []byte
		written, end syscall.Errno
	}{
		{"write", os.O_WRONLY, content, syscall.EPERM, 0},
		{"read and write", os.O_RDWR, content, syscall.EPERM, 0},
		{"append", os.O_WRONLY | os.O_APPEND, content, syscall.EPERM, 0},
		{"nothing", os.O_WRONLY, nil, 0, 0},
		{"truncate and write nothing", os.O_WRONLY | os.O_TRUNC, nil, 0, 0},
		{"truncate and write", os.O_WRONLY | os.O_TRUNC, content, 0, 0},
		{"truncate and append", os.O_WRONLY | os.O_TRUNC | os.O_APPEND, content, 0, 0},
		{"truncate, read and write", os.O_RDWR | os.O_TRUNC, content, 0, 0},
		{"truncate and write other bytes", os.O_WRONLY | os.O_TRUNC, []byte("other"), 0, syscall.EIO},
		{"truncate and write less", os.O_WRONLY | os.O_TRUNC, content[:9999], 0, syscall.EIO},
		{"create", os.O_WRONLY | os.O_CREATE | os.O_TRUNC, content, 0, 0},
		{"direct", os.O_WRONLY | os.O_TRUNC | unix.O_DIRECT, content, 0, 0},
	} {
		f := openFile(t, r.blob(d), tc.flags)
		if tc.write != nil {
			_, err := f.Write(tc.write[:len(tc.write)/2])
			wantErrno(t, tc.name+": write", err, tc.written)
			_, err = f.Write(tc.write[len(tc.write)/2:])
			wantErrno(t, tc.name+": second write", err, tc.written)
		}
		wantErrno(t, tc.name+": close", f.Close(), tc.end)
		r.wantBlob(t, content)
	}
	_, err := os.OpenFile(r.blob(d), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	wantErrno(t, "exclusive creation", err, syscall.EEXIST)
	_, err = unix.Open(r.blob(d), unix.O_RDONLY|unix.O_TRUNC, 0)
	wantErrno(t, "truncation by a reader", err, syscall.EPERM)
	r.wantBlob(t, content)
}

func TestTruncationOfABlob(t *testing.T) {
	r, d, content := existing(t, 10_000)
	wantErrno(t, "truncate to its size", os.Truncate(r.blob(d), 10_000), 0)
	for _, size := range []int64{0, 9999, 10_001} {
		wantErrno(t, "truncate", os.Truncate(r.blob(d), size), syscall.EPERM)
	}
	f := openFile(t, r.blob(d), os.O_RDWR)
	wantErrno(t, "ftruncate to its size", f.Truncate(10_000), 0)
	wantErrno(t, "ftruncate to another", f.Truncate(9999), syscall.EPERM)
	must(t, f.Close())
	r.wantBlob(t, content)
}

// What a writer sees through its own handle is what it wrote; what others see is the blob.
func TestRewriterSeesWhatItWrote(t *testing.T) {
	r, d, content := existing(t, 10_000)
	f := openFile(t, r.blob(d), os.O_RDWR)
	wantRead(t, f, 0, content)
	must(t, f.Truncate(0))
	wantSize(t, f, 0)
	_, err := f.WriteAt(content[:4000], 0)
	must(t, err)
	wantSize(t, f, 4000)
	wantRead(t, f, 1000, content[1000:4000])
	r.wantBlob(t, content)
	must(t, f.Truncate(3000))
	wantSize(t, f, 3000)
	_, err = f.Seek(0, io.SeekEnd)
	must(t, err)
	_, err = f.Write(content[3000:])
	must(t, err)
	must(t, f.Sync())
	wantSize(t, f, 10_000)
	r.wantBlob(t, content)
	must(t, f.Close())
	r.wantBlob(t, content)
}

func wantRead(t testing.TB, f *os.File, off int64, want []byte) {
	t.Helper()
	got := make([]byte, len(want)+10)
	n, err := f.ReadAt(got, off)
	if err != io.EOF || string(got[:n]) != string(want) {
		t.Errorf("read at %d: %d bytes, %v; want %d bytes", off, n, err, len(want))
	}
}

func wantSize(t testing.TB, f *os.File, want int64) {
	t.Helper()
	info, err := f.Stat()
	if err != nil || info.Size() != want {
		t.Errorf("fstat: %v; want %d bytes", info, want)
	}
}

// cp over a blob that others have open, read, and map, in either way of reading.
func TestOverwriteWhileOthersRead(t *testing.T) {
	for _, partial := range []bool{false, true} {
		r, d, content := existing(t, 100_000)
		r.blobs.partial.Store(partial)
		reader := openFile(t, r.blob(d), os.O_RDONLY)
		mapped := mapFile(t, r.blob(d))
		wantRead(t, reader, 0, content)
		w := openFile(t, r.blob(d), os.O_WRONLY|os.O_TRUNC)
		late := openFile(t, r.blob(d), os.O_RDONLY)
		for _, n := range []int{0, 50_000} {
			_, err := w.WriteAt(content[n:n+50_000], int64(n))
			must(t, err)
			for _, f := range []*os.File{reader, late} {
				wantRead(t, f, 0, content)
				wantSize(t, f, 100_000)
			}
			mapped.want(content)
		}
		must(t, w.Close())
		wantRead(t, reader, 0, content)
		must(t, reader.Close())
		must(t, late.Close())
		mapped.end()
		r.wantBlob(t, content)
	}
}

func TestSeveralRewriteABlobAtOnce(t *testing.T) {
	r, d, content := existing(t, 10_000)
	good := openFile(t, r.blob(d), os.O_WRONLY|os.O_TRUNC)
	bad := openFile(t, r.blob(d), os.O_WRONLY|os.O_TRUNC)
	for _, w := range []struct {
		f    *os.File
		b    []byte
		want syscall.Errno
	}{{bad, content[1:], syscall.EIO}, {good, content, 0}} {
		_, err := w.f.Write(w.b)
		must(t, err)
		wantErrno(t, "close", w.f.Close(), w.want)
	}
	r.wantBlob(t, content)
}

// A blob that is removed while it is written anew is there again afterwards.
func TestRewriteOfARemovedBlob(t *testing.T) {
	r, d, content := existing(t, 10_000)
	w := openFile(t, r.blob(d), os.O_WRONLY|os.O_TRUNC)
	must(t, os.Remove(r.blob(d)))
	_, err := os.Stat(r.blob(d))
	wantErrno(t, "stat of the removed blob", err, syscall.ENOENT)
	_, err = w.Write(content)
	must(t, err)
	must(t, w.Close())
	r.wantBlob(t, content)
}

func TestRemovedBlobIsWrittenAgain(t *testing.T) {
	r, d, content := existing(t, 10_000)
	reader := openFile(t, r.blob(d), os.O_RDONLY)
	must(t, os.Remove(r.blob(d)))
	r.wantNoBlob(t, d)
	wantErrno(t, "second removal", os.Remove(r.blob(d)), syscall.ENOENT)
	wantRead(t, reader, 0, content) // as of any removed file
	must(t, reader.Close())
	ingested(t, r.mnt, content)
	r.wantBlob(t, content)
}
