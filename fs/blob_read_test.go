package fs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// eachWay runs a test with complete blobs and with incomplete ones: the kernel reads the first by itself
// where it may.
func eachWay(t *testing.T, test func(t *testing.T, r *rig, d digest.Digest, content []byte)) {
	for name, partial := range map[string]bool{"complete": false, "partial": true} {
		t.Run(name, func(t *testing.T) {
			r, d, content := existing(t, 300_001)
			r.blobs.partial.Store(partial)
			test(t, r, d, content)
		})
	}
}

func TestBlobIsRead(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig, d digest.Digest, content []byte) {
		f := openFile(t, r.blob(d), os.O_RDONLY)
		defer f.Close()
		for _, at := range []struct{ off, n int }{{0, 10}, {4095, 2}, {100_000, 200_001}, {299_999, 2}, {0, 300_001}} {
			got := make([]byte, at.n)
			n, err := f.ReadAt(got, int64(at.off))
			if err != nil || !bytes.Equal(got, content[at.off:at.off+at.n]) {
				t.Errorf("read %d at %d: %d, %v", at.n, at.off, n, err)
			}
		}
		for _, off := range []int64{300_001, 1 << 40} {
			if n, err := f.ReadAt(make([]byte, 10), off); n != 0 || err != io.EOF {
				t.Errorf("read at %d: %d, %v", off, n, err)
			}
		}
		_, err := f.Write([]byte("x"))
		wantErrno(t, "write", err, syscall.EBADF)
		wantSeek(t, f, unix.SEEK_END, 0, 300_001)
		wantSeek(t, f, unix.SEEK_DATA, 5, 5)
		wantSeek(t, f, unix.SEEK_HOLE, 5, 300_001)
		_, err = unix.Seek(int(f.Fd()), 300_001, unix.SEEK_DATA)
		wantErrno(t, "seek for data behind the end", err, syscall.ENXIO)
		wantErrno(t, "fsync", f.Sync(), 0)
	})
}

func wantSeek(t testing.TB, f *os.File, whence int, off, want int64) {
	t.Helper()
	if got, err := unix.Seek(int(f.Fd()), off, whence); err != nil || got != want {
		t.Errorf("seek %d from %d: %d, %v; want %d", whence, off, got, err, want)
	}
}

func TestBlobIsMapped(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig, d digest.Digest, content []byte) {
		f := openFile(t, r.blob(d), os.O_RDONLY)
		mapped := mapFile(t, r.blob(d))
		_, err := unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		wantErrno(t, "mmap for writing", err, syscall.EACCES)
		must(t, f.Close())
		wantContent(t, r.blob(d), content) // while it is mapped
		mapped.want(content)
		mapped.end()
	})
}

func TestBlobIsCopiedByTheKernel(t *testing.T) {
	eachWay(t, func(t *testing.T, r *rig, d digest.Digest, content []byte) {
		for name, copied := range map[string]func(dst, src int, n int) (int, error){
			"sendfile":        func(dst, src, n int) (int, error) { return unix.Sendfile(dst, src, nil, n) },
			"copy_file_range": func(dst, src, n int) (int, error) { return unix.CopyFileRange(src, nil, dst, nil, n, 0) },
		} {
			for _, to := range []string{filepath.Join(t.TempDir(), "copy"), r.path("copy")} {
				src, dst := openFile(t, r.blob(d), os.O_RDONLY), openFile(t, to, os.O_CREATE|os.O_RDWR|os.O_TRUNC)
				for done := 0; done < len(content); {
					n, err := copied(int(dst.Fd()), int(src.Fd()), len(content)-done)
					if errors.Is(err, syscall.EXDEV) && to != r.path("copy") {
						// What Linux answers between two types of file system.
						m, copyErr := io.Copy(dst, src)
						n, err = int(m), copyErr
					}
					must(t, err)
					if done += n; n == 0 {
						t.Fatalf("%s ends after %d bytes", name, done)
					}
				}
				must(t, errors.Join(src.Close(), dst.Close()))
				wantContent(t, to, content)
			}
		}
	})
}

// A blob copied by the kernel to the name of a blob is committed as any other.
func TestKernelCopiesToABlob(t *testing.T) {
	r, d, content := existing(t, 300_001)
	must(t, os.Mkdir(r.path("blobs", "sha512"), 0o755))
	same := digest.SHA512.FromBytes(content)
	src, dst := openFile(t, r.blob(d), os.O_RDONLY), openFile(t, r.blob(same), os.O_CREATE|os.O_WRONLY)
	_, err := io.Copy(dst, src) // Go asks for copy_file_range
	must(t, errors.Join(err, src.Close(), dst.Close()))
	r.wantBlob(t, content)
	wantContent(t, r.blob(same), content)
}

// Both ways of becoming a blob. What is used before and after it is closed at the end.
var waysToCommit = map[string]func(t *testing.T, r *rig, content []byte, use func(w *os.File)) error{
	"rename": func(t *testing.T, r *rig, content []byte, use func(w *os.File)) error {
		w := openFile(t, r.path("tmp"), os.O_RDWR|os.O_CREATE)
		_, err := w.Write(content)
		must(t, err)
		use(w)
		must(t, os.Rename(r.path("tmp"), r.blob(digest.FromBytes(content))))
		use(w)
		return w.Close()
	},
	"close": func(t *testing.T, r *rig, content []byte, use func(w *os.File)) error {
		w := openFile(t, r.blob(digest.FromBytes(content)), os.O_RDWR|os.O_CREATE)
		_, err := w.Write(content)
		must(t, err)
		use(w)
		other, err := unix.Dup(int(w.Fd()))
		must(t, err)
		must(t, unix.Close(other))
		use(w)
		return w.Close()
	},
}

func TestReadersGoOnAcrossACommit(t *testing.T) {
	for name, commit := range waysToCommit {
		t.Run(name, func(t *testing.T) {
			r := testMount(t)
			content := randomly(300_000)
			var reader *os.File
			var mapped *mapping
			err := commit(t, r, content, func(w *os.File) {
				wantRead(t, w, 0, content)
				if reader == nil {
					reader = openFile(t, w.Name(), os.O_RDONLY)
					mapped = mapFile(t, w.Name())
				}
				wantRead(t, reader, 1000, content[1000:])
				wantSize(t, reader, 300_000)
				mapped.want(content)
			})
			must(t, err)
			wantRead(t, reader, 0, content)
			r.wantBlob(t, content)
			must(t, reader.Close())
			mapped.end()
			r.wantBlob(t, content)
		})
	}
}

// From the commit on, whoever still has the file open for writing is refused, by whatever means he tries. What the
// kernel writes itself is for late_test.go.
func TestWritersAreRefusedAfterACommit(t *testing.T) {
	for name, commit := range waysToCommit {
		t.Run(name, func(t *testing.T) {
			r := testMount(t, daemonWrites)
			content := randomly(300_000)
			err := commit(t, r, content, func(w *os.File) {
				if !r.blobs.has(digest.FromBytes(content)) {
					return
				}
				_, err := w.WriteAt([]byte("wrong"), 0)
				wantErrno(t, "write", err, syscall.EPERM)
				_, err = unix.Pwritev(int(w.Fd()), [][]byte{[]byte("wrong"), []byte("too")}, 300_000)
				wantErrno(t, "pwritev", err, syscall.EPERM)
				wantErrno(t, "ftruncate", w.Truncate(5), syscall.EPERM)
				wantErrno(t, "ftruncate to the same size", w.Truncate(300_000), 0)
				wantErrno(t, "fallocate", unix.Fallocate(int(w.Fd()), 0, 0, 400_000), syscall.EPERM)
				punch := uint32(unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE)
				wantErrno(t, "punching a hole", unix.Fallocate(int(w.Fd()), punch, 0, 4096), syscall.EPERM)
				wantErrno(t, "fsync", w.Sync(), 0)
				r.wantBlob(t, content)
				wantRead(t, w, 0, content)
			})
			if err != nil {
				wantErrno(t, "close", err, syscall.EPERM) // Linux may tell of a refused write once more
			}
			r.wantBlob(t, content)
		})
	}
}

// mappedByAWriter is a mount with a blob that a process maps since before its commit, for writing.
func mappedByAWriter(t *testing.T, r *rig) (d digest.Digest, content []byte, m *mapping) {
	t.Helper()
	content = randomly(300_000)
	d = digest.FromBytes(content)
	put(t, r.path("tmp"), content)
	m = mapFileForWriting(t, r.path("tmp"))
	m.set(10, []byte("wrong"))
	must(t, m.sync())
	m.set(10, content[10:15])
	must(t, m.sync())
	must(t, os.Rename(r.path("tmp"), r.blob(d)))
	return d, content, m
}

// Memory that a writer mapped stays writable for him, but what he writes there after the commit is his alone:
// who maps or reads the blob does not see it, be he earlier or later.
func TestMappedWritesAfterACommitAreNotSeen(t *testing.T) { byBoth(t, mappedWritesAreNotSeen) }

func mappedWritesAreNotSeen(t *testing.T, kernel bool, r *rig) {
	d, content, mapped := mappedByAWriter(t, r)
	blob := mapFile(t, r.blob(d))
	blob.want(content)
	mapped.set(4096, []byte("wrong"))
	blob.want(content)
	r.wantBlob(t, content)
	if err := mapped.sync(); !kernel {
		wantErrno(t, "msync", err, syscall.EPERM)
	}
	mapped.set(0, []byte("wrong"))
	late := mapFile(t, r.blob(d))
	late.want(content)
	late.end()
	blob.want(content)
	blob.end()
	mapped.end()
	r.wantBlob(t, content)
	if !bytes.Equal(r.blobs.content(t, d), content) {
		t.Error("the pool has other bytes")
	}
}

// They leave nothing behind, either.
func TestMappedWritesAfterACommitEndWithTheWriter(t *testing.T) {
	byBoth(t, mappedWritesEndWithTheWriter)
}

func mappedWritesEndWithTheWriter(t *testing.T, _ bool, r *rig) {
	d, content, mapped := mappedByAWriter(t, r)
	_, err := os.Stat(r.blob(d)) // when Linux hears of another time of the file, it drops its pages
	must(t, err)
	mapped.set(0, []byte("wrong"))
	mapped.end()
	for range 5 { // until the mount has heard of it
		var st unix.Statfs_t
		must(t, unix.Statfs(r.mnt, &st))
	}
	r.wantBlob(t, content)
	blob := mapFile(t, r.blob(d))
	blob.want(content)
	blob.end()
}

// A failed read is the client's to know of, and the next one may succeed.
func TestReadThatFails(t *testing.T) {
	r, d, content := existing(t, 10_000)
	r.blobs.partial.Store(true)
	r.blobs.whenReading(func(context.Context) error { return errors.New("the bucket does not answer") })
	_, err := os.ReadFile(r.blob(d))
	wantErrno(t, "read", err, syscall.EIO)
	r.blobs.whenReading(nil)
	wantContent(t, r.blob(d), content)
}
