package fs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// ingest is a writer of containerd's content store (plugins/content/local), one system call after the other.
type ingest struct {
	t    testing.TB
	root string // of the layout
	dir  string
	data *os.File
	size int64
}

// beginIngest is store.Writer.
func beginIngest(t testing.TB, root, ref string, total int64) *ingest {
	t.Helper()
	w := &ingest{t: t, root: root, dir: filepath.Join(root, "ingest", digest.FromString(ref).Encoded())}
	must(t, os.MkdirAll(filepath.Join(root, "ingest"), 0o777))
	must(t, os.Mkdir(w.dir, 0o755))
	must(t, os.WriteFile(filepath.Join(w.dir, "ref"), []byte(ref), 0o666))
	now := time.Now()
	must(t, writeTimestamp(filepath.Join(w.dir, "startedat"), now))
	must(t, writeTimestamp(filepath.Join(w.dir, "updatedat"), now))
	must(t, os.WriteFile(filepath.Join(w.dir, "total"), fmt.Append(nil, total), 0o666))
	w.open()
	return w
}

// open opens the data, to begin or to go on.
func (w *ingest) open() {
	w.t.Helper()
	f, err := os.OpenFile(filepath.Join(w.dir, "data"), os.O_WRONLY|os.O_CREATE, 0o666)
	must(w.t, err)
	_, err = f.Seek(w.size, 0)
	must(w.t, err)
	w.data = f
}

// writeTimestamp is writeTimestampFile.
func writeTimestamp(path string, at time.Time) error {
	b, err := at.MarshalText()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_SYNC, 0o666)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Close(), os.Rename(path+".tmp", path))
}

func (w *ingest) write(b []byte) {
	w.t.Helper()
	n, err := w.data.Write(b)
	must(w.t, err)
	w.size += int64(n)
}

// close is writer.Close, after which the data may be written on.
func (w *ingest) close() {
	w.t.Helper()
	must(w.t, w.data.Sync())
	must(w.t, w.data.Close())
	must(w.t, writeTimestamp(filepath.Join(w.dir, "updatedat"), time.Now()))
}

// commit is writer.Commit, up to what may fail it. It says whether it had to rename.
func (w *ingest) commit(d digest.Digest) (renamed bool, err error) {
	w.t.Helper()
	must(w.t, w.data.Sync())
	info, err := w.data.Stat()
	must(w.t, err)
	if info.Size() != w.size {
		w.t.Errorf("fstat tells %d bytes; %d were written", info.Size(), w.size)
	}
	must(w.t, w.data.Close())
	target := filepath.Join(w.root, "blobs", d.Algorithm().String(), d.Encoded())
	must(w.t, os.MkdirAll(filepath.Dir(target), 0o755))
	if _, err := os.Stat(target); err == nil {
		return false, os.RemoveAll(w.dir)
	}
	if err := os.Rename(filepath.Join(w.dir, "data"), target); err != nil {
		return true, err
	}
	return true, w.finish(target, info)
}

func (w *ingest) finish(target string, info os.FileInfo) error {
	dir, err := os.Open(filepath.Dir(target))
	if err != nil {
		return err
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return err
	}
	now := time.Now()
	return errors.Join(os.Chtimes(target, now, now), os.RemoveAll(w.dir), os.Chmod(target, info.Mode().Perm()&^0o333))
}

// ingested writes a blob as containerd does.
func ingested(t testing.TB, root string, content []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(content)
	w := beginIngest(t, root, "layer-"+d.String(), int64(len(content)))
	w.write(content[:len(content)/2])
	w.write(content[len(content)/2:])
	_, err := w.commit(d)
	must(t, err)
	return d
}

func TestContainerdCommits(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 3 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := testMount(t)
			content := randomly(size)
			began := time.Now()
			d := ingested(t, r.mnt, content)
			r.wantBlob(t, content)
			wantNames(t, r.path("ingest"))
			wantNames(t, r.path("blobs", "sha256"), d.Encoded())
			if left := r.scratch(t); len(left) > 0 {
				t.Errorf("scratch is left on local disk: %v", left)
			}
			info, err := os.Stat(r.blob(d))
			must(t, err)
			if info.Mode() != 0o644 || info.Size() != int64(size) {
				t.Errorf("the blob has mode %v and %d bytes", info.Mode(), info.Size())
			}
			// It is the time at which containerd says that the content was created.
			if at := info.ModTime(); at.Before(began.Truncate(time.Second)) || at.After(time.Now()) {
				t.Errorf("the blob that was just written is from %v", at)
			}
		})
	}
}

func TestContainerdSkipsABlobThatIsThere(t *testing.T) {
	r := testMount(t)
	content := randomly(10_000)
	r.blobs.add(t, content)
	w := beginIngest(t, r.mnt, "again", int64(len(content)))
	w.write(content)
	renamed, err := w.commit(digest.FromBytes(content))
	must(t, err)
	if renamed || r.blobs.commits.Load() != 0 {
		t.Error("a blob that is there was written again")
	}
	wantNames(t, r.path("ingest"))
}

func TestContainerdResumesAWriteAcrossARestart(t *testing.T) {
	r := testMount(t)
	content := randomly(100_000)
	w := beginIngest(t, r.mnt, "resumed", int64(len(content)))
	w.write(content[:60_000])
	w.close()
	r.remount(t)
	wantContent(t, filepath.Join(w.dir, "ref"), []byte("resumed"))
	wantContent(t, filepath.Join(w.dir, "data"), content[:60_000])
	w.open()
	w.write(content[60_000:])
	_, err := w.commit(digest.FromBytes(content))
	must(t, err)
	r.wantBlob(t, content)
}

// os.RemoveAll depends on these errnos.
func TestIngestDirectoryIsRemovedAsInAPlainFolder(t *testing.T) {
	r := testMount(t)
	for name, root := range map[string]string{"mount": r.mnt, "plain folder": t.TempDir()} {
		w := beginIngest(t, root, "aborted", 5)
		w.write([]byte("hello"))
		wantErrno(t, name+": unlink of a directory", unix.Unlink(w.dir), syscall.EISDIR)
		wantErrno(t, name+": rmdir of a full directory", unix.Rmdir(w.dir), syscall.ENOTEMPTY)
		wantErrno(t, name+": rmdir of a file", unix.Rmdir(filepath.Join(w.dir, "data")), syscall.ENOTDIR)
		wantErrno(t, name+": unlink of nothing", unix.Unlink(filepath.Join(w.dir, "nothing")), syscall.ENOENT)
		must(t, os.RemoveAll(w.dir))
		_, err := w.data.Write([]byte(" still"))
		wantErrno(t, name+": write to a removed file", err, 0)
		must(t, w.data.Close())
		wantErrno(t, name+": rmdir", unix.Rmdir(filepath.Join(root, "ingest")), 0)
	}
}

func TestFsverityProbeIsAnswered(t *testing.T) {
	r := testMount(t)
	dir, err := os.MkdirTemp(r.mnt, ".fsverity-check-*") //nolint:usetesting // as containerd does it, in the mount
	must(t, err)
	f, err := os.Create(filepath.Join(dir, "supported"))
	must(t, err)
	must(t, f.Close())
	f, err = os.Open(filepath.Join(dir, "supported"))
	must(t, err)
	var arg [128]byte
	wantErrno(t, "FS_IOC_ENABLE_VERITY", ioctl(f, unix.FS_IOC_ENABLE_VERITY, arg[:]), syscall.ENOTTY)
	must(t, f.Close())
	must(t, os.RemoveAll(dir))
	if left := r.scratch(t); len(left) > 0 {
		t.Errorf("scratch is left on local disk: %v", left)
	}
}

func TestIngestsOfManyWritersAtOnce(t *testing.T) {
	r := testMount(t)
	shared := randomly(300_000)
	r.names.set("a", emptyIndex)
	r.names.set("b", emptyIndex)
	var group sync.WaitGroup
	for _, scope := range []string{"", "a", "b"} {
		for i := range 4 {
			content := randomly(50_000)
			group.Go(func() {
				ingested(t, r.path(scope), content)
				r.wantBlob(t, content)
			})
			if i == 0 {
				group.Go(func() { ingested(t, r.path(scope), shared) })
			}
		}
	}
	group.Wait()
	r.wantBlob(t, shared)
	for _, scope := range []string{"", "a", "b"} {
		wantNames(t, r.path(scope, "ingest"))
	}
}

// expecting is a pool that is told of blobs that are to come.
type expecting struct {
	*fakeBlobs
	told chan string
}

func (*expecting) Prepare(context.Context, string, string) {}

func (p *expecting) Expect(path string, d digest.Digest, size int64) {
	p.told <- fmt.Sprint(filepath.Base(path), " ", d, " ", size)
}

// TestWriterOfAnIngestSaysWhatComes, when it begins, and when it goes on after a break.
func TestWriterOfAnIngestSaysWhatComes(t *testing.T) {
	p := &expecting{told: make(chan string, 10)}
	r := testMount(t, func(o *Options) {
		p.fakeBlobs = o.Blobs.(*fakeBlobs)
		o.Blobs = p
	})
	d := digest.FromString("content")
	w := beginIngest(t, r.path(), "layer-"+d.String(), 7)
	w.write([]byte("cont"))
	w.close()
	w.open()
	for range 2 {
		if told, want := <-p.told, fmt.Sprint("data ", d, " ", 7); told != want {
			t.Errorf("it is told of %q, want %q", told, want)
		}
	}
	w.close()
	beginIngest(t, r.path(), "a name", 7).close()
	beginIngest(t, r.path(), "layer-sha256:no", 7).close()
	beginIngest(t, r.path(), "layer-"+digest.FromString("of unknown size").String(), 0).close()
	put(t, r.path("data"), []byte("without anything beside it"))
	if len(p.told) > 0 {
		t.Errorf("it is told of %q", <-p.told)
	}
}
