package fs

import (
	"os"
	"syscall"
	"testing"
)

// BuildKit writes the file anew with each export.
func TestLayoutFileIsRewritten(t *testing.T) {
	r := testMount(t)
	path := r.path("oci-layout")
	for _, content := range []string{
		`{"imageLayoutVersion":"1.0.0"}`, `{ "imageLayoutVersion": "1.0.0" }` + "\n", `{"imageLayoutVersion":"1.0.0","more":1}`,
	} {
		wantErrno(t, "write "+content, os.WriteFile(path, []byte(content), 0o644), 0)
		wantContent(t, path, []byte(layoutContent))
		put(t, r.path("new"), []byte(content))
		wantErrno(t, "rename "+content, os.Rename(r.path("new"), path), 0)
		wantContent(t, path, []byte(layoutContent))
	}
	wantNames(t, r.mnt, "blobs", "index.json", "oci-layout")
}

func TestLayoutFileOfAnotherVersionIsRefused(t *testing.T) {
	r := testMount(t)
	path := r.path("oci-layout")
	for _, content := range []string{`{"imageLayoutVersion":"2.0.0"}`, `{}`, `no JSON`, `{"imageLayoutVersion":`} {
		wantErrno(t, "write "+content, os.WriteFile(path, []byte(content), 0o644), syscall.EINVAL)
		put(t, r.path("new"), []byte(content))
		wantErrno(t, "rename "+content, os.Rename(r.path("new"), path), syscall.EINVAL)
		wantContent(t, path, []byte(layoutContent))
	}
}

func TestLayoutFileIsOpenedWithoutBeingWritten(t *testing.T) {
	r := testMount(t)
	path := r.path("oci-layout")
	for _, flags := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_TRUNC, os.O_WRONLY | os.O_APPEND} {
		must(t, openFile(t, path, flags).Close())
		wantContent(t, path, []byte(layoutContent))
	}
	mustShell(t, `touch "$1" && chmod 600 "$1"`, path)
	f := openFile(t, path, os.O_RDWR)
	wantErrno(t, "truncate beyond the bound", f.Truncate(maxDocument+1), syscall.EFBIG)
	must(t, f.Truncate(0))
	_, err := f.WriteString(layoutContent)
	must(t, err)
	wantRead(t, f, 0, []byte(layoutContent))
	must(t, f.Sync())
	must(t, f.Close())
	wantContent(t, path, []byte(layoutContent))
	wantErrno(t, "truncate to its length", os.Truncate(path, int64(len(layoutContent))), 0)
}
