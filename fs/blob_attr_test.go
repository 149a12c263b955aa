package fs

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

func ioctl(f *os.File, request uintptr, arg []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&arg[0])))
	if errno != 0 {
		return errno
	}
	return nil
}

// wantAttr fails unless that is what stat tells of the blob of 10,000 bytes.
func wantAttr(t *testing.T, path string) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	if st.Mode != unix.S_IFREG|0o644 || st.Size != 10_000 || st.Blocks != 24 || st.Nlink != 1 || st.Ino == 0 {
		t.Errorf("stat tells %+v", st)
	}
	for _, at := range []unix.Timespec{st.Atim, st.Mtim, st.Ctim} {
		if got := time.Unix(at.Unix()); !got.Equal(blobTime) {
			t.Errorf("the blob is from %v", got)
		}
	}
}

// What the permissions, the owner and the times of a blob are is not up to clients, but they are not told so:
// cp -p and tar would fail.
func TestAttributesOfABlobDoNotChange(t *testing.T) {
	r, d, _ := existing(t, 10_000)
	path := r.blob(d)
	wantAttr(t, path)
	wantErrno(t, "chmod", os.Chmod(path, 0o777), 0)
	wantErrno(t, "chown", os.Chown(path, os.Geteuid(), os.Getegid()), 0)
	wantErrno(t, "chtimes", os.Chtimes(path, time.Now(), time.Now()), 0)
	wantAttr(t, path)
}

// containerd reads from its times when content was created, and when its labels changed.
func TestTimesOfABlobThatWasWrittenHere(t *testing.T) {
	r := testMount(t)
	began := time.Now()
	d := ingested(t, r.mnt, randomly(1000))
	wantTimes := func(access, mod time.Time) {
		t.Helper()
		info, err := os.Stat(r.blob(d))
		must(t, err)
		if got := time.Unix(info.Sys().(*syscall.Stat_t).Atim.Unix()); !info.ModTime().Equal(mod) || !got.Equal(access) {
			t.Errorf("the blob was written at %v and read at %v; want %v and %v", info.ModTime(), got, mod, access)
		}
	}
	info, err := os.Stat(r.blob(d))
	must(t, err)
	if at := info.ModTime(); at.Before(began.Add(-time.Second)) || at.After(time.Now()) {
		t.Errorf("a blob that was written at %v is from %v", began, at)
	}
	mod, access := time.Unix(1_700_000_000, 123_456_789), time.Unix(1_600_000_000, 0)
	must(t, os.Chtimes(r.blob(d), access, mod))
	wantTimes(access, mod)
	must(t, openFile(t, r.blob(d), os.O_WRONLY).Close()) // a writer gets a node of his own
	wantTimes(access, mod)
	must(t, os.Chtimes(r.blob(d), time.Time{}, mod.Add(time.Hour)))
	wantTimes(access, mod.Add(time.Hour))
}

func TestTimesAreKeptOfABoundedNumberOfBlobs(t *testing.T) {
	x := dates{of: map[digest.Digest]times{}}
	first, second := digest.FromString("first"), digest.FromString("second")
	x.begin(first)
	x.begin(second)
	for i := range maxDated - 1 {
		x.begin(digest.FromString(fmt.Sprint(i)))
		x.begin(digest.FromString(fmt.Sprint(i))) // again
	}
	if len(x.of) != maxDated {
		t.Errorf("%d are kept", len(x.of))
	}
	if at := x.tell(first); !at.mod.Equal(blobTime) {
		t.Errorf("the oldest is still from %v", at.mod)
	}
	if at := x.tell(second); at.mod.Equal(blobTime) {
		t.Error("the second is forgotten")
	}
}

// Clients take these answers for a file system that lacks the feature.
func TestWhatABlobHasNot(t *testing.T) {
	r, d, content := existing(t, 10_000)
	put(t, r.path("scratch"), content)
	for _, path := range []string{r.blob(d), r.path("scratch"), r.path("index.json"), r.path("oci-layout"), r.path("blobs"), r.mnt} {
		_, err := unix.Getxattr(path, "user.some", make([]byte, 10))
		wantErrno(t, "getxattr", err, syscall.EOPNOTSUPP)
		_, err = unix.Listxattr(path, make([]byte, 10))
		wantErrno(t, "listxattr", err, syscall.EOPNOTSUPP)
		wantErrno(t, "setxattr", unix.Setxattr(path, "user.some", []byte("x"), 0), syscall.EOPNOTSUPP)
		wantErrno(t, "removexattr", unix.Removexattr(path, "user.some"), syscall.EOPNOTSUPP)
		f := openFile(t, path, os.O_RDONLY)
		var arg [64]byte
		for name, request := range map[string]uintptr{
			"FS_IOC_GETFLAGS": unix.FS_IOC_GETFLAGS, "FS_IOC_ENABLE_VERITY": unix.FS_IOC_ENABLE_VERITY, "TCGETS": unix.TCGETS,
		} {
			wantErrno(t, name+" on "+path, ioctl(f, request, arg[:]), syscall.ENOTTY)
		}
		must(t, f.Close())
	}
}

func TestBlobHasOneName(t *testing.T) {
	r, d, content := existing(t, 10_000)
	put(t, r.path("scratch"), content)
	for _, tc := range []struct{ from, to string }{
		{r.blob(d), r.path(".link")},
		{r.path("scratch"), r.path(".link")},
		{r.path("scratch"), r.blob(digest.FromString("other"))},
		{r.path("index.json"), r.path(".link")},
	} {
		wantErrno(t, "link "+tc.from, os.Link(tc.from, tc.to), syscall.EPERM)
	}
	wantErrno(t, "link onto a blob", os.Link(r.path("scratch"), r.blob(d)), syscall.EEXIST)
}

func TestSymbolicLinks(t *testing.T) {
	r, d, content := existing(t, 10_000)
	must(t, os.Symlink(r.blob(d), r.path(".link")))
	wantContent(t, r.path(".link"), content)
	if to, err := os.Readlink(r.path(".link")); err != nil || to != r.blob(d) {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	must(t, os.Rename(r.path(".link"), r.path(".other")))
	at := time.Unix(1_600_000_000, 0)
	must(t, unix.Lutimes(r.path(".other"), []unix.Timeval{unix.NsecToTimeval(at.UnixNano()), unix.NsecToTimeval(at.UnixNano())}))
	info, err := os.Lstat(r.path(".other"))
	must(t, err)
	if info.Mode() != os.ModeSymlink|0o777 || !info.ModTime().Equal(at) {
		t.Errorf("the link is %v from %v", info.Mode(), info.ModTime())
	}
	for _, to := range []string{r.blob(digest.FromString("other")), r.path("index.json"), r.path("oci-layout")} {
		wantErrno(t, "rename of a link to "+to, os.Rename(r.path(".other"), to), syscall.EPERM)
	}
	must(t, os.Remove(r.path(".other")))
	wantContent(t, r.blob(d), content)
	// At the name of a blob there is a blob or what becomes one.
	wantErrno(t, "a link as a blob", os.Symlink("x", r.blob(digest.FromString("other"))), syscall.EPERM)
}

// Special files have no place here.
func TestSpecialFilesAreRefused(t *testing.T) {
	r := testMount(t)
	for name, mode := range map[string]uint32{"fifo": unix.S_IFIFO, "socket": unix.S_IFSOCK} {
		wantErrno(t, name, unix.Mknod(r.path("special"), mode|0o600, 0), syscall.EPERM)
	}
	must(t, unix.Mknod(r.path("regular"), unix.S_IFREG|0o640, 0))
	wantContent(t, r.path("regular"), nil)
	_, err := unix.Open(r.mnt, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	wantErrno(t, "O_TMPFILE", err, syscall.EOPNOTSUPP)
}

func TestRenamesOfABlob(t *testing.T) {
	r, d, content := existing(t, 10_000)
	beginStore(t, r.path("app"))
	other := r.blob(digest.FromString("other"))
	for _, tc := range []struct {
		what, from, to string
		want           syscall.Errno
	}{
		{"to scratch", r.blob(d), r.path("scratch"), syscall.EXDEV},
		{"to a temporary name", r.blob(d), r.blob(d) + ".tmp", syscall.EXDEV},
		{"to another digest", r.blob(d), other, syscall.EPERM},
		{"to index.json", r.blob(d), r.path("index.json"), syscall.EXDEV},
		{"to another layout", r.blob(d), r.blob(d, "app"), 0},
		{"to itself", r.blob(d), r.blob(d), 0},
	} {
		wantErrno(t, "rename of a blob "+tc.what, os.Rename(tc.from, tc.to), tc.want)
		r.wantBlob(t, content)
		wantContent(t, r.blob(d, "app"), content)
	}
	mustShell(t, `mv "$1" "$2"`, r.blob(d), r.path("moved"))
	wantContent(t, r.path("moved"), content)
	r.wantNoBlob(t, d)
}

func TestFlagsOfARename(t *testing.T) {
	r, d, content := existing(t, 10_000)
	put(t, r.path("a"), content)
	put(t, r.path("b"), []byte("b"))
	rename := func(from, to string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
	}
	wantErrno(t, "NOREPLACE onto a blob", rename(r.path("a"), r.blob(d), unix.RENAME_NOREPLACE), syscall.EEXIST)
	wantErrno(t, "NOREPLACE onto scratch", rename(r.path("a"), r.path("b"), unix.RENAME_NOREPLACE), syscall.EEXIST)
	wantErrno(t, "EXCHANGE", rename(r.path("a"), r.path("b"), unix.RENAME_EXCHANGE), syscall.EINVAL)
	wantErrno(t, "WHITEOUT", rename(r.path("a"), r.path("b"), unix.RENAME_WHITEOUT), syscall.EINVAL)
	wantContent(t, r.path("a"), content)
	wantErrno(t, "NOREPLACE", rename(r.path("a"), r.path("c"), unix.RENAME_NOREPLACE), 0)
	must(t, os.Remove(r.blob(d)))
	wantErrno(t, "NOREPLACE to a new blob", rename(r.path("c"), r.blob(d), unix.RENAME_NOREPLACE), 0)
	r.wantBlob(t, content)
	if _, err := os.Stat(r.path("c")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of what was renamed: %v", err)
	}
}
