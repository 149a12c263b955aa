package fs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is a user who may do nothing, and has no group in common with root.
const nobody = 65534

// publicDir is a folder that all users can reach, owned by uid.
func publicDir(t *testing.T, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "public-") //nolint:usetesting // what t.TempDir makes is closed to other users
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chown(dir, uid, uid))
	return dir
}

// asUser runs a command as someone else.
func asUser(uid uint32, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// plainUserEnv tells that this process runs the suite for TestAsPlainUser.
const plainUserEnv = "LAYOUTFS_TEST_PLAIN_USER"

// sameForAll are tests that take long and are not about who mounts.
const sameForAll = "^(Fuzz.*|Test(TenThousandBlobs|TimesAreKept|Gate|ManyHostsTags|BlobsAreRemovedWhile|LocksBetween|FileIsTheSame).*)$"

// The suite passes for a user who is not root, who mounts by fusermount3 and whose mount has no passthrough.
func TestAsPlainUser(t *testing.T) {
	needRoot(t)
	dir := publicDir(t, nobody)
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.timeout=2m", "-test.skip="+sameForAll)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir, plainUserEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if passed := strings.Count(out.String(), "\n--- PASS"); err != nil || passed < 50 {
		t.Errorf("%d tests passed, %v:\n%s", passed, err, out.String())
	}
}

func TestPassthroughIsForRoot(t *testing.T) {
	r, d, content := existing(t, 300_000)
	on, why := r.srv.Passthrough()
	if os.Geteuid() == 0 {
		if !on || why != "" {
			t.Errorf("passthrough is off for root: %s", why)
		}
		return
	}
	if on || !strings.Contains(why, "root") {
		t.Errorf("passthrough is %t for a plain user, because %q", on, why)
	}
	wantContent(t, r.blob(d), content)
	read := r.blobs.reads.Load()
	wantContent(t, r.blob(d), content)
	if again := r.blobs.reads.Load(); read == 0 || again != read {
		t.Errorf("the daemon read %d times, then %d: the kernel does not remember", read, again)
	}
}

// What the kernel remembers of an incomplete blob, nobody has verified.
func TestPagesOfAnIncompleteBlobAreNotServedAgain(t *testing.T) {
	r, d, content := existing(t, 300_000)
	r.blobs.partial.Store(true)
	wrong := append([]byte("wrong"), content[5:]...)
	must(t, os.WriteFile(r.blobs.file(d), wrong, 0o600))
	mapped := mapFile(t, r.blob(d))
	mapped.want(wrong)
	wantContent(t, r.blob(d), wrong)
	must(t, os.WriteFile(r.blobs.file(d)+".new", content, 0o600)) // fetched anew, and verified
	must(t, os.Rename(r.blobs.file(d)+".new", r.blobs.file(d)))
	wantContent(t, r.blob(d), content)
	r.blobs.partial.Store(false)
	wantContent(t, r.blob(d), content)
	mapped.end()
	for range 3 {
		wantContent(t, r.blob(d), content)
	}
}

func TestOwnerAndUmask(t *testing.T) {
	needRoot(t)
	for _, umask := range []uint32{0, 0o022, 0o077, 0o007} {
		r := testMount(t, func(o *Options) { o.UID, o.GID, o.Umask = 1234, 5678, umask })
		content := randomly(10)
		d := r.blobs.add(t, content)
		must(t, os.Mkdir(r.path("app"), 0o700))
		must(t, os.Mkdir(r.path(".dir"), 0o777))
		f, err := os.OpenFile(r.path("file"), os.O_CREATE|os.O_WRONLY, 0o666)
		must(t, err)
		must(t, f.Chmod(0o666))
		must(t, f.Close())
		must(t, os.Chmod(r.path(".dir"), 0o777))
		must(t, os.Chown(r.path("file"), 1, 1))
		for path, mode := range map[string]uint32{
			r.mnt: unix.S_IFDIR | 0o777, r.path("app"): unix.S_IFDIR | 0o777, r.path("blobs"): unix.S_IFDIR | 0o777,
			r.path("blobs", "sha256"): unix.S_IFDIR | 0o777, r.path("index.json"): unix.S_IFREG | 0o666,
			r.path("oci-layout"): unix.S_IFREG | 0o666, r.blob(d): unix.S_IFREG | 0o666,
			r.path("file"): unix.S_IFREG | 0o666, r.path(".dir"): unix.S_IFDIR | 0o777,
		} {
			var st unix.Stat_t
			must(t, unix.Stat(path, &st))
			if st.Uid != 1234 || st.Gid != 5678 || st.Mode != mode&^umask {
				t.Errorf("umask %o: %s belongs to %d:%d with mode %o; want %o", umask, path, st.Uid, st.Gid, st.Mode, mode&^umask)
			}
		}
	}
}

// A plain user may serve root: it is asked for, and not replaced by his own.
func TestOwnerRootIsRoot(t *testing.T) {
	r := testMount(t, func(o *Options) { o.UID, o.GID, o.Umask = 0, 0, 0 })
	var st unix.Stat_t
	must(t, unix.Stat(r.path("index.json"), &st))
	if st.Uid != 0 || st.Gid != 0 {
		t.Errorf("index.json belongs to %d:%d", st.Uid, st.Gid)
	}
}

func TestOtherUsers(t *testing.T) {
	needRoot(t)
	for _, tc := range []struct {
		name           string
		allow          bool
		umask          uint32
		reads, changes bool
	}{
		{"not let in", false, 0, false, false},
		{"let in to read", true, 0o022, true, false},
		{"let in to write", true, 0, true, true},
		{"let in by name only", true, 0o077, false, false},
	} {
		r := mountIn(t, publicDir(t, 0), func(o *Options) { o.AllowOther, o.Umask = tc.allow, tc.umask })
		content := randomly(10)
		d := r.blobs.add(t, content)
		if got, err := asUser(nobody, "cat", r.blob(d)); (err == nil && got == string(content)) != tc.reads {
			t.Errorf("%s: reading: %v: %q", tc.name, err, got)
		}
		for _, script := range []string{`echo '` + indexOf("a") + `' > index.json`, `mkdir app`, `echo x > file`} {
			if said, err := asUser(nobody, "sh", "-c", "cd '"+r.mnt+"' && "+script); (err == nil) != tc.changes {
				t.Errorf("%s: %s: %v: %s", tc.name, script, err, said)
			}
		}
	}
}

func TestAllowOtherNeedsFuseConf(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "fuse.conf")
	for content, want := range map[string]syscall.Errno{
		"": syscall.EPERM, "#user_allow_other\n": syscall.EPERM, "mount_max = 5\n": syscall.EPERM,
		"user_allow_other\n": 0, "mount_max = 5\n  user_allow_other": 0,
	} {
		put(t, conf, []byte(content))
		wantErrno(t, fmt.Sprintf("with %q", content), checkAllowOther(conf), want)
	}
	wantErrno(t, "without the file", checkAllowOther(conf+".missing"), syscall.EPERM)
}

func TestMissingDeviceIsExplained(t *testing.T) {
	err := checkDevice(filepath.Join(t.TempDir(), "fuse"))
	if !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), "modprobe fuse") {
		t.Errorf("it says: %v", err)
	}
}

func TestSourceIsWhatMountTells(t *testing.T) {
	r := testMount(t, func(o *Options) { o.Source = `s3:bucket/with,comma and \ space` })
	out, err := exec.Command("findmnt", "-n", "-o", "FSTYPE,SOURCE", r.mnt).Output()
	must(t, err)
	if got := strings.TrimSpace(string(out)); !strings.HasPrefix(got, "fuse.layoutfs") || !strings.Contains(got, "bucket/with,comma") {
		t.Errorf("findmnt tells %q", got)
	}
}
