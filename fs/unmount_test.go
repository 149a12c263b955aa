package fs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// serveEnv names the folder of a rig that this process mounts and serves, instead of testing.
const serveEnv = "LAYOUTFS_TEST_SERVE"

// serve is what a daemon does, until it is killed.
func serve(dir string) error {
	r, err := newRig(dir)
	if err != nil {
		return err
	}
	srv, err := Mount(context.Background(), r.mnt, r.options())
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	srv.Wait()
	return nil
}

// startServer serves a mount in another process.
func startServer(t *testing.T, dir string) (cmd *exec.Cmd, mnt string) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), serveEnv+"="+dir)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "mounted\n" {
		t.Fatalf("the server says %q, %v", said, err)
	}
	return cmd, filepath.Join(dir, "mnt")
}

func TestUnmountOfABusyMountIsRefused(t *testing.T) {
	r, d, content := existing(t, 1000)
	for name, use := range map[string]func() *os.File{
		"a blob":      func() *os.File { return openFile(t, r.blob(d), os.O_RDONLY) },
		"scratch":     func() *os.File { return openFile(t, r.path("file"), os.O_CREATE|os.O_WRONLY) },
		"a directory": func() *os.File { return openFile(t, r.path("blobs"), os.O_RDONLY) },
	} {
		f := use()
		wantErrno(t, "unmount with "+name+" open", r.srv.Unmount(), syscall.EBUSY)
		wantContent(t, r.blob(d), content) // it goes on
		must(t, f.Close())
	}
}

func TestDetachedMountEndsWithItsLastUser(t *testing.T) {
	r, d, content := existing(t, 1000)
	r.unended = true
	f := openFile(t, r.blob(d), os.O_RDONLY)
	w := openFile(t, r.path("file"), os.O_CREATE|os.O_RDWR)
	must(t, r.srv.Detach())
	wantNames(t, r.mnt) // the folder below
	wantRead(t, f, 0, content)
	_, err := w.WriteString("still")
	must(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.srv.Wait()
	}()
	must(t, f.Close())
	select {
	case <-ended:
		t.Error("the mount ended with a file open in it")
	default:
	}
	must(t, w.Close())
	inTime(t, "the end of the mount", func() { <-ended })
	<-r.srv.tree.ctx.Done()
}

func TestMountAgainAfterTheEnd(t *testing.T) {
	r := testMount(t)
	content := randomly(1000)
	ingested(t, r.mnt, content)
	r.remount(t)
	r.wantBlob(t, content)
}

func TestMountOfAKilledDaemonIsRemoved(t *testing.T) {
	dir := t.TempDir()
	cmd, mnt := startServer(t, dir)
	wantNames(t, mnt, layoutFiles...)
	if IsStale(mnt) {
		t.Error("a mount that is served is taken for dead")
	}
	must(t, CleanStale(mnt))
	wantNames(t, mnt, layoutFiles...)
	half := openFile(t, filepath.Join(mnt, "half"), os.O_CREATE|os.O_WRONLY)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()                  // it says that it was killed
	_, _ = half.WriteString("lost") // the kernel may write it itself
	wantErrno(t, "fsync after the end of the daemon", half.Sync(), syscall.ENOTCONN)
	_ = half.Close() // it says the same
	if !IsStale(mnt) {
		t.Error("the mount of a killed daemon is taken for alive")
	}
	wantErrno(t, "check", Check(mnt, false), syscall.ENOTCONN)
	r, err := newRig(filepath.Join(dir, "other"))
	must(t, err)
	_, err = Mount(t.Context(), mnt, r.options())
	wantErrno(t, "mount on it", err, syscall.ENOTCONN)
	must(t, CleanStale(mnt))
	wantNames(t, mnt)
	wantErrno(t, "check of what is clean", Check(mnt, false), 0)
	mountIn(t, dir)
	wantNames(t, mnt, listed("half")...)
}

func TestMountpointThatCannotBe(t *testing.T) {
	r := testMount(t)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), nil)
	must(t, os.Symlink(r.mnt, filepath.Join(dir, "link")))
	other, err := newRig(t.TempDir())
	must(t, err)
	for path, want := range map[string]syscall.Errno{
		filepath.Join(dir, "missing"): syscall.ENOENT,
		filepath.Join(dir, "file"):    syscall.ENOTDIR,
		dir:                           syscall.ENOTEMPTY,
		r.mnt:                         syscall.EBUSY,
		filepath.Join(dir, "link"):    syscall.EBUSY,
	} {
		_, err := Mount(t.Context(), path, other.options())
		wantErrno(t, "mount on "+path, err, want)
	}
	wantNames(t, r.mnt, layoutFiles...)
	wantNames(t, dir, "file", "link")
}

func TestMountNeedsWhatIsMounted(t *testing.T) {
	r, err := newRig(t.TempDir())
	must(t, err)
	for name, without := range map[string]func(*Options){
		"blobs":   func(o *Options) { o.Blobs = nil },
		"names":   func(o *Options) { o.Names = nil },
		"scratch": func(o *Options) { o.Scratch = "" },
		"a place for scratch": func(o *Options) {
			o.Scratch = filepath.Join(r.local, "file", "x")
			put(t, filepath.Join(r.local, "file"), nil)
		},
	} {
		if srv, err := Mount(t.Context(), r.mnt, r.options(without)); err == nil {
			t.Errorf("it mounts without %s", name)
			must(t, srv.Unmount())
		}
		wantNames(t, r.mnt)
	}
}

// The mount belongs to the daemon, and not to the request that started it.
func TestMountOutlivesItsContext(t *testing.T) {
	r, err := newRig(t.TempDir())
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	r.srv, err = Mount(ctx, r.mnt, r.options())
	must(t, err)
	defer r.unmount(t)
	cancel()
	content := randomly(1000)
	ingested(t, r.mnt, content)
	r.wantBlob(t, content)
}

func TestUnmountByOthers(t *testing.T) {
	r := testMount(t)
	r.unended = true
	mustShell(t, `fusermount3 -u "$1"`, r.mnt)
	inTime(t, "the end of the mount", r.srv.Wait)
	if err := r.srv.Unmount(); err == nil || errors.Is(err, syscall.EBUSY) {
		t.Errorf("unmount of what is not mounted: %v", err)
	}
	var st unix.Stat_t
	must(t, unix.Stat(r.mnt, &st))
}
