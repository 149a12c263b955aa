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

	"github.com/opencontainers/go-digest"
)

func TestCreateAndCloseCommits(t *testing.T) {
	r := testMount(t)
	content := randomly(300_000)
	d := digest.FromBytes(content)
	f, err := os.Create(r.blob(d))
	must(t, err)
	for part := range slicesOf(content, 70_000) {
		_, err = f.Write(part)
		must(t, err)
	}
	if r.blobs.has(d) {
		t.Error("it is a blob before it is closed")
	}
	wantContent(t, r.blob(d), content) // others see what is there
	must(t, f.Close())
	r.wantBlob(t, content)
	if info, err := os.Stat(r.blob(d)); err != nil || info.Mode() != 0o644 {
		t.Errorf("the blob is %v, %v", info.Mode(), err)
	}
	if left := r.scratch(t); len(left) > 0 {
		t.Errorf("scratch is left on local disk: %v", left)
	}
}

// A client that is told so exports again, and first asks which blobs are there. The kernel keeps names for a moment.
func TestBlobThatWasToldToBeGoneIsNotFound(t *testing.T) {
	r := testMount(t)
	gone := fmt.Errorf("it is gone: %w", os.ErrNotExist)
	for what, export := range map[string]func(lose func()) error{
		"a manifest": func(lose func()) error {
			r.blobs.whenCommitting(func(string, digest.Digest) error { lose(); return gone })
			return os.WriteFile(r.blob(digest.FromString("manifest")), []byte("manifest"), 0o644)
		},
		"an index.json": func(lose func()) error {
			r.names.failWith(gone)
			r.names.whenPublishing(lose)
			_, err := buildKitPut(r.path("index.json"), indexOf("a"))
			return err
		},
	} {
		d := r.blobs.add(t, []byte(what))
		err := export(sync.OnceFunc(func() {
			_, err := os.Lstat(r.blob(d)) // the kernel knows it now
			must(t, errors.Join(err, r.blobs.Forget(t.Context(), d)))
		}))
		if err == nil {
			t.Errorf("%s that names a blob which is gone is taken", what)
		}
		if _, err := os.Lstat(r.blob(d)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after %s that failed for it, the lost blob is found: %v", what, err)
		}
	}
}

func slicesOf(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > n && yield(b[:n]) {
			b = b[n:]
		}
		yield(b)
	}
}

// Ways to write a blob under its name, as people and programs do. $1 is the blob, $2 a file with its content,
// $3 a directory for what is in between.
var waysToWrite = map[string]string{
	"cat":                   `cat "$2" > "$1"`,
	"cat, appending":        `cat "$2" >> "$1"`,
	"cp":                    `cp "$2" "$1"`,
	"cp -p":                 `cp -p "$2" "$1"`,
	"cp --remove":           `cp --remove-destination "$2" "$1"`,
	"dd":                    `dd if="$2" of="$1" bs=4k conv=fsync status=none`,
	"install":               `install -m 0600 "$2" "$1"`,
	"tee":                   `tee "$1" < "$2" >/dev/null`,
	"mv from elsewhere":     `cp "$2" "$2.moved" && mv "$2.moved" "$1"`,
	"mv from the mount":     `cp "$2" "$3/oci-put-blob123" && mv "$3/oci-put-blob123" "$1"`,
	"mv beside the blob":    `cp "$2" "$1.tmp" && mv "$1.tmp" "$1"`,
	"a block with the name": `{ head -c 10 "$2"; tail -c +11 "$2"; } > "$1"`,
	"a descriptor":          `exec 3> "$1"; cat "$2" >&3; exec 3>&-`,
	"busybox":               `busybox sh -c 'busybox cat "$2" > "$1"' sh "$1" "$2"`,
	"tar":                   `ln -f "$2" "$2.d" && cd "$(dirname "$2")" && cp "$2" "$(basename "$1")" && tar c "$(basename "$1")" | tar x -C "$(dirname "$1")"`,
}

func TestBlobIsWrittenByAnyTool(t *testing.T) {
	r := testMount(t)
	for name, script := range waysToWrite {
		t.Run(name, func(t *testing.T) {
			content := randomly(200_000)
			source := filepath.Join(t.TempDir(), "source")
			put(t, source, content)
			mustShell(t, script, r.blob(digest.FromBytes(content)), source, r.mnt)
			r.wantBlob(t, content)
		})
	}
	if left := r.scratch(t); len(left) > 0 {
		t.Errorf("scratch is left on local disk: %v", left)
	}
}

func TestEmptyBlob(t *testing.T) {
	empty := digest.FromBytes(nil)
	for name, script := range map[string]string{
		"redirection": `: > "$1"`, "touch": `touch "$1"`, "cp": `cp /dev/null "$1"`, "cat": `cat /dev/null > "$1"`,
		"truncate": `truncate -s 0 "$1"`,
	} {
		t.Run(name, func(t *testing.T) {
			r := testMount(t)
			mustShell(t, script, r.blob(empty))
			r.wantBlob(t, nil)
		})
	}
}

func TestBlobsOfOtherAlgorithms(t *testing.T) {
	r := testMount(t)
	content := []byte("by sha512")
	d := digest.SHA512.FromBytes(content)
	_, err := os.Stat(r.path("blobs", "sha512"))
	wantErrno(t, "stat before it is made", err, syscall.ENOENT)
	must(t, os.Mkdir(r.path("blobs", "sha512"), 0o755))
	put(t, r.blob(d), content)
	wantContent(t, r.blob(d), content)
	if !r.blobs.has(d) {
		t.Error("it did not become a blob")
	}
	wantNames(t, r.path("blobs"), "sha256", "sha512")
	wantNames(t, r.path("blobs", "sha512"), d.Encoded())
	wantNames(t, r.path("blobs", "sha256"))
}

// go-containerregistry, regctl and others write a temporary file beside the blob, skopeo and
// umoci at the root of the layout.
func TestTemporaryFileIsRenamedToABlob(t *testing.T) {
	r := testMount(t)
	for _, dir := range []string{"blobs/sha256", "."} {
		content := randomly(100_000)
		d := digest.FromBytes(content)
		f, err := os.CreateTemp(r.path(dir), "oci-put-blob*")
		must(t, err)
		_, err = f.Write(content)
		must(t, err)
		must(t, f.Chmod(0o644))
		must(t, f.Close())
		if r.blobs.has(d) {
			t.Errorf("a temporary file in %s became a blob", dir)
		}
		must(t, os.Rename(f.Name(), r.blob(d)))
		r.wantBlob(t, content)
		_, err = os.Stat(f.Name())
		wantErrno(t, "stat of the old name", err, syscall.ENOENT)
	}
}

func TestRenameToWrongDigestFailsAndKeepsTheFile(t *testing.T) {
	r := testMount(t)
	d := digest.FromString("what it claims to be")
	put(t, r.path("tmp"), []byte("what it is"))
	wantErrno(t, "rename", os.Rename(r.path("tmp"), r.blob(d)), syscall.EIO)
	r.wantNoBlob(t, d)
	wantContent(t, r.path("tmp"), []byte("what it is"))
	put(t, r.path("tmp"), []byte("what it claims to be"))
	must(t, os.Rename(r.path("tmp"), r.blob(d)))
	r.wantBlob(t, []byte("what it claims to be"))
}

func TestCloseWithWrongDigestFailsAndKeepsNothing(t *testing.T) {
	r := testMount(t)
	d := digest.FromString("what it claims to be")
	f, err := os.Create(r.blob(d))
	must(t, err)
	_, err = f.WriteString("what it is")
	must(t, err)
	wantErrno(t, "close", f.Close(), syscall.EIO)
	r.wantNothingThere(t, d)
	if left := r.scratch(t); len(left) > 0 {
		t.Errorf("scratch is left on local disk: %v", left)
	}
	wantNames(t, r.path("blobs", "sha256"))
}

func TestToolsReportAWrongDigest(t *testing.T) {
	r := testMount(t)
	source := filepath.Join(t.TempDir(), "source")
	put(t, source, []byte("what it is"))
	for name, script := range map[string]string{
		"cp": `cp "$2" "$1"`, "cat": `cat "$2" > "$1"`, "dd": `dd if="$2" of="$1" status=none`,
		"mv": `cp "$2" "$3/tmp" && mv "$3/tmp" "$1"`,
	} {
		d := digest.FromString(name)
		if said, err := shell(script, r.blob(d), source, r.mnt); err == nil {
			t.Errorf("%s is content with a wrong digest: %s", name, said)
		}
		r.wantNothingThere(t, d)
	}
}

// Nothing of these is a blob, and nobody is told of an error: they wrote nothing.
func TestNothingIsKeptOfAFileThatWasNotWritten(t *testing.T) {
	for name, script := range map[string]string{
		"touch": `touch "$1"`, "redirection": `: > "$1"`, "opened twice": `exec 3> "$1" 4> "$1"; exec 3>&- 4>&-`,
	} {
		t.Run(name, func(t *testing.T) {
			r := testMount(t)
			d := digest.FromString("something")
			mustShell(t, script, r.blob(d))
			r.wantNothingThere(t, d)
		})
	}
}

// wantNothingThere is wantNoBlob for after a close: the end of the handle, which removes what is no blob,
// comes after close(2) has returned.
func (r *rig) wantNothingThere(t testing.TB, d digest.Digest) {
	t.Helper()
	inTime(t, "the end of the handle", func() {
		for _, err := os.Lstat(r.blob(d)); !errors.Is(err, syscall.ENOENT); _, err = os.Lstat(r.blob(d)) {
		}
	})
	r.wantNoBlob(t, d)
}

func TestCommitThatFailsIsTriedAgain(t *testing.T) {
	r := testMount(t)
	content := randomly(5000)
	d := digest.FromBytes(content)
	outage := errors.New("the bucket does not answer")
	r.blobs.whenCommitting(func(string, digest.Digest) error { return outage })
	put(t, r.path("tmp"), content)
	wantErrno(t, "rename", os.Rename(r.path("tmp"), r.blob(d)), syscall.EIO)
	wantErrno(t, "cp", os.WriteFile(r.blob(d), content, 0o644), syscall.EIO)
	r.wantNothingThere(t, d)
	r.blobs.whenCommitting(nil)
	wantContent(t, r.path("tmp"), content)
	must(t, os.Rename(r.path("tmp"), r.blob(d)))
	r.wantBlob(t, content)
}

// The errno that the pool chose is the client's, if a file system may say it.
func TestErrnoOfACommit(t *testing.T) {
	r := testMount(t)
	for _, tc := range []struct {
		cause error
		want  syscall.Errno
	}{
		{syscall.ENOSPC, syscall.ENOSPC},
		{syscall.EROFS, syscall.EROFS},
		{os.ErrPermission, syscall.EPERM},
		{syscall.ECONNREFUSED, syscall.EIO},
		{errors.New("anything"), syscall.EIO},
	} {
		r.blobs.whenCommitting(func(string, digest.Digest) error { return tc.cause })
		put(t, r.path("tmp"), []byte("x"))
		err := os.Rename(r.path("tmp"), r.blob(digest.FromString("x")))
		wantErrno(t, "rename: "+tc.cause.Error(), err, tc.want)
	}
}

// preparing is a pool that is told of closed files.
type preparing struct {
	*fakeBlobs
	told chan string
	hold func(ctx context.Context) // nil: nothing to wait for
}

func (p *preparing) Prepare(ctx context.Context, scope, path string) {
	if p.hold != nil {
		p.hold(ctx)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		b = []byte(err.Error())
	}
	p.told <- scope + ":" + string(b)
}

// Expect implements Preparer.
func (*preparing) Expect(string, digest.Digest, int64) {}

// preparingMount is a mount of such a pool.
func preparingMount(t *testing.T, hold func(context.Context)) (*rig, *preparing) {
	t.Helper()
	p := &preparing{told: make(chan string, 10), hold: hold}
	r := testMount(t, func(o *Options) {
		p.fakeBlobs = o.Blobs.(*fakeBlobs)
		o.Blobs = p
	})
	return r, p
}

func TestCloseOfScratchIsTheTimeToPrepare(t *testing.T) {
	r, p := preparingMount(t, nil)
	put(t, r.path("tmp"), []byte("first"))
	if told := <-p.told; told != ":first" {
		t.Errorf("at the close it is told of %q", told)
	}
	must(t, os.MkdirAll(r.path("team", "app", "ingest", "1"), 0o755))
	put(t, r.path("team", "app", "ingest", "1", "data"), []byte("data"))
	if told := <-p.told; told != "team/app:data" {
		t.Errorf("at the close in the directory of a name it is told of %q", told)
	}
	f, err := os.OpenFile(r.path("tmp"), os.O_RDWR, 0)
	must(t, err)
	must(t, f.Close())
	put(t, r.blob(digest.FromString("second")), []byte("second"))
	if len(p.told) > 0 {
		t.Errorf("it is told of what was not written, or is committed by the close: %q", <-p.told)
	}
	must(t, os.Rename(r.path("tmp"), r.blob(digest.FromString("first"))))
}

// TestTheRightNameMakesUpForAWrongOne: what was refused under one name is committed under the one that it has,
// and a close that comes after says so.
func TestTheRightNameMakesUpForAWrongOne(t *testing.T) {
	r := testMount(t)
	content := []byte("content")
	right, wrong := digest.FromBytes(content), digest.FromString("something else")
	f, err := os.Create(r.blob(wrong))
	must(t, err)
	second, err := syscall.Dup(int(f.Fd()))
	must(t, err)
	_, err = f.Write(content)
	must(t, err)
	wantErrno(t, "close under the wrong name", syscall.Close(second), syscall.EIO)
	must(t, os.Rename(r.blob(wrong), r.blob(right)))
	must(t, f.Close())
	wantContent(t, r.blob(right), content)
}
