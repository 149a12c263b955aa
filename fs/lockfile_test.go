package fs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// lockAndRemove is what BuildKit does around an update of index.json; held is called in between.
func lockAndRemove(path string, held func()) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		held()
	}
	_ = f.Close()
	if err == nil {
		err = os.RemoveAll(path)
	}
	return err
}

// TestLocksThatAreNotWaitedFor: exports that end at the same time must not fail each other, as long as an
// update takes.
func TestLocksThatAreNotWaitedFor(t *testing.T) {
	r := testMount(t, func(o *Options) { o.lockWait = 20 * time.Second })
	must(t, os.Mkdir(r.path("app"), 0o755))
	var wg sync.WaitGroup
	for _, dir := range []string{"", "app"} {
		var mu sync.Mutex
		for range 8 {
			wg.Go(func() {
				for range 3 {
					err := lockAndRemove(r.path(dir, lockFile), func() {
						if !mu.TryLock() {
							t.Error("two have the lock")
							return
						}
						time.Sleep(10 * time.Millisecond)
						mu.Unlock()
					})
					if err != nil {
						t.Errorf("in %q: %v", dir, err)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, dir := range []string{"", "app"} {
		if _, err := os.Lstat(r.path(dir, lockFile)); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("the lock file of %q is left: %v", dir, err)
		}
	}
}

// TestALockThatIsNotGivenUpIsNotWaitedForForEver, and other files are not waited for at all.
func TestALockThatIsNotGivenUpIsNotWaitedForForEver(t *testing.T) {
	const limit = 300 * time.Millisecond
	r := testMount(t, func(o *Options) { o.lockWait = limit })
	for _, tc := range []struct {
		path string
		wait bool
	}{{lockFile, true}, {"cache.lock", false}, {filepath.Join("ingest", lockFile), false}} {
		path := r.path(tc.path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		first, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
		must(t, err)
		began := time.Now()
		second, err := os.Open(path)
		must(t, err)
		if took := time.Since(began); (took >= limit) != tc.wait {
			t.Errorf("the second open of %s took %s", tc.path, took)
		}
		must(t, second.Close())
		must(t, first.Close())
	}
}

// TestASecondWriterOfABlobIsHeardOut: containerd's exports that share a folder write the same layer to the
// same file, and the first who is ready makes it a blob under the hands of the others.
func TestASecondWriterOfABlobIsHeardOut(t *testing.T) {
	r := testMount(t, daemonWrites)
	b := []byte("the same bytes from both")
	d := digest.FromBytes(b)
	must(t, os.MkdirAll(r.path("ingest", "x"), 0o755))
	path := r.path("ingest", "x", "data")
	put(t, path, b[:10])
	second, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = second.WriteAt(b[:5], 0)
	must(t, err)
	put(t, path, b)
	must(t, os.Rename(path, r.blob(d)))
	if _, err := second.WriteAt(b[5:], 5); err != nil {
		t.Errorf("the bytes that the blob has: %v", err)
	}
	for what, write := range map[string]func() (int, error){
		"other bytes":    func() (int, error) { return second.WriteAt([]byte("other"), 0) },
		"behind its end": func() (int, error) { return second.WriteAt(b[:5], int64(len(b))-2) },
	} {
		if _, err := write(); !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, second.Close())
	if got, err := exec.Command("cat", r.blob(d)).Output(); err != nil || string(got) != string(b) {
		t.Errorf("the blob is %q, %v", got, err)
	}
}

// TestOfLockFilesTheBucketIsNotAsked, nor of an ingest: a build takes them before it does anything.
func TestOfLockFilesTheBucketIsNotAsked(t *testing.T) {
	r := testMount(t)
	r.names.failReading(syscall.EIO)
	for _, name := range []string{lockFile, cacheLock} {
		put(t, r.path(name), nil)
	}
	must(t, os.Mkdir(r.path(ingestName), 0o755))
	_, err := os.Lstat(r.path("app"))
	wantErrno(t, "a name", err, syscall.EIO)
}
