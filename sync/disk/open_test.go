package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestOneProcessPerDirectory(t *testing.T) {
	s := newStore(t, Options{})
	_, err := Open(s.dir, Options{})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.PID != os.Getpid() || busy.Dir != s.dir {
		t.Fatalf("second open: %v", err)
	}
	want := fmt.Sprintf("cache directory %s is in use by layoutfs (pid %d); unmount it or give another --cache-dir", s.dir, os.Getpid())
	if err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	must(t, s.Close())
	reopen(t, s.dir, Options{})
}

func TestStatesSurviveARestart(t *testing.T) {
	s := newStore(t, Options{})
	staged, kept := stage(t, s, random(1, 3000)), warm(t, s, random(2, 4000))
	p := openPart(t, s, random(3, 3*ChunkSize))
	write(t, p, random(3, 3*ChunkSize), 1)
	must(t, p.Close())
	unfinished := scratch(t, s, []byte("x"))
	must(t, os.WriteFile(s.tempPath(), nil, 0o600))
	before := s.Usage()
	must(t, s.Close())
	s = reopen(t, s.dir, Options{})
	wantState(t, s, staged, Staged)
	wantState(t, s, kept, Warm)
	wantState(t, s, p.digest, Partial)
	if after := s.Usage(); after != before {
		t.Errorf("usage %+v, was %+v", after, before)
	}
	if !exists(unfinished) {
		t.Error("scratch that a client may go on with is gone")
	}
	if left := leftovers(t, s, tmpDir); len(left) > 0 {
		t.Errorf("not swept: %q", left)
	}
	p = openPart(t, s, random(3, 3*ChunkSize))
	if p.Has(0) || !p.Has(1) || p.Has(2) {
		t.Errorf("missing %v", p.Missing(0, 3))
	}
	must(t, p.Close())
}

// What is not ours is left alone, what is there twice or broken is dropped.
func TestScanOfADisorderlyDirectory(t *testing.T) {
	s := newStore(t, Options{})
	twice := random(1, 100)
	d := stage(t, s, twice)
	dir := s.dir
	must(t, s.Close())
	put := func(path string) string {
		path = filepath.Join(dir, path)
		must(t, os.WriteFile(path, twice, 0o600))
		return path
	}
	hex := func(s string) string { return digest.FromString(s).Encoded() }
	foreign := []string{put("blobs/sha256/lost+found"), put("blobs/sha256/" + strings.ToUpper(hex("x"))), put("partial/sha256/notes.map")}
	dropped := []string{
		put("blobs/sha256/" + d.Encoded()),
		put("partial/sha256/" + hex("no map")),
		put("partial/sha256/" + hex("no blob") + ".map"),
		put("tmp/7"),
	}
	s = reopen(t, dir, Options{})
	for _, path := range foreign {
		if !exists(path) {
			t.Errorf("%s was removed", path)
		}
	}
	for _, path := range dropped {
		if exists(path) {
			t.Errorf("%s was kept", path)
		}
	}
	wantState(t, s, d, Staged)
	if u := s.Usage(); u.StagedBlobs != 1 || u.WarmBlobs != 0 || u.PartialBlobs != 0 {
		t.Errorf("usage %+v", u)
	}
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "scratch", "thesis.tex")
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte("years"), 0o644))
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("open: %v", err)
	}
	if !exists(file) {
		t.Error("it was swept")
	}
}

func TestRemovedLockIsNoObstacle(t *testing.T) {
	s := newStore(t, Options{})
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(s.dir, "lock")))
	reopen(t, s.dir, Options{})
}

func TestOpenErrorsNameThePath(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(file, Options{}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("open of a file: %v", err)
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "blobs"), nil, 0o600))
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "blobs")) {
		t.Errorf("open with a file in the way: %v", err)
	}
}

func TestRecencyIsKeptInTheFiles(t *testing.T) {
	s := newStore(t, Options{})
	old, young := random(1, 1000), random(2, 1000)
	warm(t, s, old)
	warm(t, s, young)
	past := time.Now().Add(-time.Hour)
	for _, b := range [][]byte{old, young} {
		must(t, os.Chtimes(s.file(warmDir, digest.FromBytes(b)), past, past))
	}
	must(t, s.Close())
	s = reopen(t, s.dir, Options{})
	wantContent(t, s, young)
	must(t, s.Close())
	s = reopen(t, s.dir, Options{CacheSize: 1500})
	wantState(t, s, digest.FromBytes(old), Absent)
	wantState(t, s, digest.FromBytes(young), Warm)
}
