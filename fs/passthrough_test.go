package fs

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// wantReader fails unless that many of the reads of f reach the daemon, which is asked for none of what the
// kernel reads itself.
func (r *rig) wantReader(t testing.TB, f *os.File, content []byte, daemon bool) {
	t.Helper()
	before := r.blobs.reads.Load()
	got, err := io.ReadAll(io.NewSectionReader(f, 0, int64(len(content))+1))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if reads := r.blobs.reads.Load() - before; (reads > 0) != daemon {
		t.Errorf("%d reads reached the daemon; want some: %t", reads, daemon)
	}
}

func TestKernelReadsCompleteBlobsItself(t *testing.T) {
	needRoot(t)
	r, d, content := existing(t, 2<<20)
	for range 3 {
		f := openFile(t, r.blob(d), os.O_RDONLY)
		r.wantReader(t, f, content, false)
		must(t, f.Close())
	}
	written := randomly(1000)
	ingested(t, r.mnt, written)
	r.wantBlob(t, written)
	mapped := mapFile(t, r.blob(d))
	mapped.want(content)
	mapped.end()
	mustShell(t, `cp "$1" "$2" && cmp "$1" "$2"`, r.blob(d), t.TempDir()+"/copy")
	if reads := r.blobs.reads.Load(); reads > 0 {
		t.Errorf("%d reads reached the daemon", reads)
	}
}

func TestDaemonReadsIncompleteBlobs(t *testing.T) {
	r, d, content := existing(t, 2<<20)
	r.blobs.partial.Store(true)
	for range 3 { // each time: what is fetched is not verified
		f := openFile(t, r.blob(d), os.O_RDONLY)
		r.wantReader(t, f, content, true)
		must(t, f.Close())
	}
}

// A blob becomes complete while it is open. The kernel reads it itself as soon as nobody reads otherwise.
func TestBlobBecomesCompleteWhileItIsOpen(t *testing.T) {
	needRoot(t)
	r, d, content := existing(t, 300_000)
	r.blobs.partial.Store(true)
	early := openFile(t, r.blob(d), os.O_RDONLY)
	r.wantReader(t, early, content, true)
	r.blobs.partial.Store(false)
	late := openFile(t, r.blob(d), os.O_RDONLY)
	r.wantReader(t, late, content, true)
	must(t, early.Close())
	must(t, late.Close())
	r.blobs.awaitClosed()
	after := openFile(t, r.blob(d), os.O_RDONLY)
	r.wantReader(t, after, content, false)
	r.blobs.partial.Store(true) // it was evicted
	again := openFile(t, r.blob(d), os.O_RDONLY)
	r.wantReader(t, again, content, false)
	must(t, after.Close())
	r.wantReader(t, again, content, false)
	must(t, again.Close())
}

// A blob that is removed, or whose local copy is, stays readable for who has it open.
func TestBackingFileOutlivesItsName(t *testing.T) {
	r, d, content := existing(t, 300_000)
	f := openFile(t, r.blob(d), os.O_RDONLY)
	must(t, os.Remove(r.blobs.file(d)))
	must(t, os.WriteFile(r.blobs.file(d), content, 0o600)) // fetched anew
	again := openFile(t, r.blob(d), os.O_RDONLY)
	wantRead(t, f, 0, content)
	must(t, f.Close())
	wantRead(t, again, 0, content)
	must(t, again.Close())
}

func TestManyOpenOneBlobInAllWaysAtOnce(t *testing.T) {
	r, d, content := existing(t, 200_000)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 24 {
				switch {
				case n%8 == i:
					r.blobs.partial.Store(n%16 >= 8)
				case i == 0 && n%5 == 0:
					if err := os.WriteFile(r.blob(d), content, 0o644); err != nil {
						t.Errorf("write it again: %v", err)
					}
				default:
					wantContent(t, r.blob(d), content)
				}
			}
		})
	}
	group.Wait()
	r.wantBlob(t, content)
}

// Many blobs are open at once, each through a file of its own.
func TestManyBlobsAreOpenAtOnce(t *testing.T) {
	r := testMount(t)
	type opened struct {
		f       *os.File
		content []byte
	}
	var all []opened
	for i := range 200 {
		content := randomly(1000 + i)
		r.blobs.partial.Store(i%3 == 0)
		all = append(all, opened{openFile(t, r.blob(r.blobs.add(t, content)), os.O_RDONLY), content})
	}
	for _, o := range all {
		wantRead(t, o.f, 0, o.content)
	}
	for _, o := range all {
		must(t, o.f.Close())
	}
}

// A file that the kernel does not take is read by the daemon.
func TestBackingFileThatCannotBeRegistered(t *testing.T) {
	needRoot(t)
	r, d, content := existing(t, 300_000)
	r.blobs.badFd.Store(true)
	f := openFile(t, r.blob(d), os.O_RDONLY)
	r.wantReader(t, f, content, true)
	must(t, f.Close())
	if !strings.Contains(r.log.String(), "read through the daemon") {
		t.Errorf("the log says: %s", r.log)
	}
	r.blobs.badFd.Store(false)
	r.blobs.awaitClosed()
	r.wantReader(t, openAndClose(t, r, d), content, false)
}

// openAndClose opens a blob for the rest of the test.
func openAndClose(t *testing.T, r *rig, d digest.Digest) *os.File {
	t.Helper()
	f := openFile(t, r.blob(d), os.O_RDONLY)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}
