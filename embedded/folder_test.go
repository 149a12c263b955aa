package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Keys are made once, whoever is first.
func TestKeysAreMadeOnce(t *testing.T) {
	t.Parallel()
	dir := folder(t.TempDir())
	made := make([]keys, 10)
	var wg sync.WaitGroup
	for i := range made {
		wg.Go(func() {
			k, err := dir.keys()
			if err != nil {
				t.Error(err)
			}
			made[i] = k
		})
	}
	wg.Wait()
	for _, k := range made {
		if k != made[0] || len(k.SecretAccessKey) < 40 {
			t.Fatalf("made are %v", made)
		}
	}
	if left, err := filepath.Glob(filepath.Join(string(dir), "credentials-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind are %v, %v", left, err)
	}
}

func TestDamagedKeysAreNotReplaced(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "{", "[]", `{"access_key_id":"a"}`, `{"secret_access_key":"s"}`} {
		dir := folder(t.TempDir())
		if err := os.WriteFile(dir.credentials(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := dir.keys(); err == nil || !strings.Contains(err.Error(), dir.credentials()+" is damaged; remove it to get new keys") {
			t.Errorf("%q: %v", content, err)
		}
		if b, err := os.ReadFile(dir.credentials()); err != nil || string(b) != content {
			t.Errorf("%q becomes %q, %v", content, b, err)
		}
	}
}

// A file system without extended attributes, and a folder that came from one.
func TestMetadataBesideTheObjects(t *testing.T) {
	t.Parallel()
	without := t.TempDir()
	if err := unix.Mount("ramfs", without, "ramfs", 0, ""); err != nil {
		t.Fatalf("mount a file system without extended attributes: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(without, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	came := t.TempDir()
	if err := os.Mkdir(folder(came).meta(), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{without, came} {
		s := startServer(t, Options{Dir: dir})
		putName(t, s.Config(), "app")
		wantName(t, s.Config(), "app")
		mustClose(t, s)
		again := startServer(t, Options{Dir: dir})
		wantName(t, again.Config(), "app")
		mustClose(t, again)
		if entries, err := os.ReadDir(folder(dir).meta()); err != nil || len(entries) == 0 {
			t.Errorf("in meta/ are %v, %v", entries, err)
		}
	}
}

func TestMetadataInAttributes(t *testing.T) {
	t.Parallel()
	dir := folder(t.TempDir())
	s := startServer(t, Options{Dir: string(dir)})
	putName(t, s.Config(), "app")
	if _, err := os.Stat(dir.meta()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("meta/ is there (%v), on a file system with extended attributes", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir.buckets(), ".probe-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind are %v, %v", left, err)
	}
}
