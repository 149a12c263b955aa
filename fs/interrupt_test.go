package fs

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// caught is a system call that a thread is in.
type caught struct {
	thread int
	ended  chan error
}

// call makes a system call in a thread of its own, so that it can be interrupted.
func call(do func() error) *caught {
	thread := make(chan int)
	c := &caught{ended: make(chan error, 1)}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		c.ended <- do()
	}()
	c.thread = <-thread
	return c
}

// interrupt sends the thread the signal that the Go runtime sends all the time, and waits until the mount has
// read all about it.
func (c *caught) interrupt(t testing.TB, r *rig) {
	t.Helper()
	for range 5 {
		must(t, unix.Tgkill(unix.Getpid(), c.thread, unix.SIGURG))
		var st unix.Statfs_t
		must(t, unix.Statfs(r.mnt, &st)) // requests are read behind interrupts
	}
}

func TestReadIsInterrupted(t *testing.T) {
	r, d, content := existing(t, 10_000)
	r.blobs.partial.Store(true)
	reading := make(chan struct{})
	r.blobs.whenReading(func(ctx context.Context) error {
		close(reading)
		<-ctx.Done()
		return ctx.Err()
	})
	f := openFile(t, r.blob(d), os.O_RDONLY)
	defer f.Close()
	c := call(func() error {
		_, err := unix.Pread(int(f.Fd()), make([]byte, 100), 0)
		return err
	})
	<-reading
	r.blobs.whenReading(nil)
	c.interrupt(t, r)
	wantErrno(t, "read", <-c.ended, syscall.EINTR)
	wantRead(t, f, 0, content)
}

// A commit goes on when its client is interrupted: what it has begun cannot be undone.
func TestCommitIsNotInterrupted(t *testing.T) {
	r := testMount(t)
	content := randomly(1000)
	d := digest.FromBytes(content)
	for name, commit := range map[string]func() error{
		"rename": func() error {
			put(t, r.path("tmp"), content)
			return unix.Rename(r.path("tmp"), r.blob(d))
		},
		"close": func() error {
			f := openFile(t, r.blob(d), os.O_CREATE|os.O_WRONLY)
			_, err := f.Write(content)
			return errors.Join(err, f.Close())
		},
		"close of a rewrite": func() error {
			r.blobs.add(t, content)
			f := openFile(t, r.blob(d), os.O_WRONLY|os.O_TRUNC)
			_, err := f.Write(content)
			return errors.Join(err, f.Close())
		},
	} {
		committing, goOn := r.holdCommits()
		c := call(commit)
		<-committing
		c.interrupt(t, r)
		close(goOn)
		wantErrno(t, name, <-c.ended, 0)
		r.wantBlob(t, content)
		r.blobs.whenCommitting(nil)
		must(t, os.Remove(r.blob(d)))
	}
}

// Nor is what a close prepares for the commit: the commit would find it given up.
func TestPreparationIsNotInterrupted(t *testing.T) {
	preparing, goOn, given := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	r, _ := preparingMount(t, func(ctx context.Context) {
		close(preparing)
		<-goOn
		given <- ctx.Err()
	})
	f := openFile(t, r.path("tmp"), os.O_CREATE|os.O_WRONLY)
	_, err := f.WriteString("content")
	must(t, err)
	c := call(f.Close)
	<-preparing
	c.interrupt(t, r)
	close(goOn)
	wantErrno(t, "close", <-c.ended, 0)
	must(t, <-given)
}

// holdCommits makes commits wait.
func (r *rig) holdCommits() (committing, goOn chan struct{}) {
	committing, goOn = make(chan struct{}, 100), make(chan struct{})
	r.blobs.whenCommitting(func(string, digest.Digest) error {
		committing <- struct{}{}
		<-goOn
		return nil
	})
	return committing, goOn
}

func TestPublicationIsNotInterrupted(t *testing.T) {
	r := testMount(t)
	publishing, goOn := make(chan struct{}), make(chan struct{})
	r.names.whenPublishing(func() {
		close(publishing)
		<-goOn
	})
	c := call(func() error { _, err := buildKitPut(r.path("index.json"), indexOf("a")); return err })
	<-publishing
	c.interrupt(t, r)
	close(goOn)
	wantErrno(t, "ftruncate", <-c.ended, 0)
	r.wantPublished(t, publication{"", emptyIndex, indexOf("a")})
}

// A client that is killed in the midst of a commit does not take it along.
func TestCommitOfAKilledClient(t *testing.T) {
	r := testMount(t)
	content := randomly(1000)
	d := digest.FromBytes(content)
	source := t.TempDir() + "/source"
	put(t, source, content)
	committing, goOn := r.holdCommits()
	ended := make(chan error)
	go func() {
		_, err := shell(`cat "$2" > "$1" & echo $! > "$2.pid"; wait`, r.blob(d), source)
		ended <- err
	}()
	<-committing
	mustShell(t, `kill -9 "$(cat "$1.pid")"`, source)
	close(goOn)
	must(t, <-ended)
	r.wantBlob(t, content)
}

// What waits for the commit of a blob is answered when it has ended: open, write, unlink and a second commit.
// What needs no answer to that is answered at once.
func TestMountGoesOnWhileCommitsWait(t *testing.T) {
	r := testMount(t)
	committing, goOn := r.holdCommits()
	var contents [][]byte
	var group sync.WaitGroup
	for range 40 {
		content := randomly(1000)
		contents = append(contents, content)
		group.Go(func() {
			wantErrno(t, "write", os.WriteFile(r.blob(digest.FromBytes(content)), content, 0o644), 0)
		})
	}
	for range contents {
		<-committing
	}
	first := r.blob(digest.FromBytes(contents[0]))
	inTime(t, "what does not need the blobs", func() {
		info, err := os.Stat(first)
		if err != nil || info.Size() != 1000 {
			t.Errorf("stat of what is being committed: %v, %v", info, err)
		}
		entries, err := os.ReadDir(r.path("blobs", "sha256"))
		if err != nil || len(entries) != 40 {
			t.Errorf("%d blobs are listed, %v", len(entries), err)
		}
		put(t, r.path("scratch"), []byte("x"))
		must(t, os.WriteFile(r.path("index.json"), []byte(indexOf("a")), 0o644))
		must(t, os.Mkdir(r.path("app"), 0o755))
	})
	opened := make(chan error, 1)
	go func() { opened <- sameContent(first, contents[0]) }()
	select {
	case err := <-opened:
		t.Errorf("a blob is opened before it is committed: %v", err)
	default:
	}
	close(goOn)
	group.Wait()
	wantErrno(t, "open", <-opened, 0)
	for _, content := range contents {
		r.wantBlob(t, content)
	}
}

func sameContent(path string, want []byte) error {
	got, err := os.ReadFile(path)
	if err == nil && string(got) != string(want) {
		err = errors.New("it has another content")
	}
	return err
}

// A fault in one request is that request's, and not the mount's.
func TestPanicIsAnInputOutputError(t *testing.T) {
	r, d, content := existing(t, 1000)
	r.panics = true
	other := randomly(1000)
	put(t, r.path("tmp"), other)
	r.blobs.whenCommitting(func(string, digest.Digest) error { panic("in a commit") })
	rename := func() error { return os.Rename(r.path("tmp"), r.blob(digest.FromBytes(other))) }
	wantErrno(t, "rename", rename(), syscall.EIO)
	wantErrno(t, "close", os.WriteFile(r.blob(digest.FromString("x")), []byte("x"), 0o644), syscall.EIO)
	wantErrno(t, "close of a rewrite", os.WriteFile(r.blob(d), content, 0o644), syscall.EIO)
	r.blobs.whenCommitting(nil)
	r.blobs.partial.Store(true)
	r.blobs.whenReading(func(context.Context) error { panic("in a read") })
	_, err := os.ReadFile(r.blob(d))
	wantErrno(t, "read", err, syscall.EIO)
	r.blobs.whenReading(nil)
	r.names.whenPublishing(func() { panic("in a publication") })
	_, err = buildKitPut(r.path("index.json"), indexOf("a"))
	wantErrno(t, "ftruncate", err, syscall.EIO)
	r.names.whenPublishing(nil)
	for _, want := range []string{"in a commit", "in a read", "in a publication", "goroutine"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log says nothing of %q", want)
		}
	}
	inTime(t, "what follows", func() {
		wantContent(t, r.path("tmp"), other)
		must(t, rename())
		r.wantBlob(t, other)
		r.wantBlob(t, content)
		must(t, os.WriteFile(r.path("index.json"), []byte(indexOf("b")), 0o644))
	})
}
