package disk

import (
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestStageMovesAVerifiedFile(t *testing.T) {
	for _, alg := range algorithms() {
		s := newStore(t, Options{})
		b := random(1, 2*ChunkSize+5)
		d, path := alg.FromBytes(b), scratch(t, s, b)
		_, err := s.Stage(t.Context(), path, d)
		must(t, err)
		wantState(t, s, d, Staged)
		if got, err := content(s, d); err != nil || got != string(b) {
			t.Errorf("%s: read %d bytes: %v", alg, len(got), err)
		}
		if exists(path) {
			t.Errorf("%s: the scratch file is still there", alg)
		}
	}
}

func TestStageRefusesWrongBytes(t *testing.T) {
	s := newStore(t, Options{})
	path, d := scratch(t, s, []byte("one")), digest.FromString("other")
	_, err := s.Stage(t.Context(), path, d)
	if !errors.Is(err, ErrMismatch) {
		t.Fatalf("stage: %v", err)
	}
	for _, part := range []string{d.String(), digest.FromString("one").String(), "3 bytes"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not name %q", err, part)
		}
	}
	wantState(t, s, d, Absent)
	if !exists(path) || s.Usage().Mismatches != 1 {
		t.Error("the file is gone, or the mismatch is not counted")
	}
}

func TestKeep(t *testing.T) {
	s := newStore(t, Options{CacheSize: 1000})
	b := random(1, 300)
	d := digest.FromBytes(b)
	if err := s.Keep(b, digest.FromString("other")); !errors.Is(err, ErrMismatch) {
		t.Errorf("keep of other bytes: %v", err)
	}
	p := openPart(t, s, b)
	must(t, p.Close())
	for range 2 {
		must(t, s.Keep(b, d))
		wantState(t, s, d, Warm)
	}
	staged := stage(t, s, random(2, 300))
	must(t, s.Keep(random(2, 300), staged))
	wantState(t, s, staged, Staged)
	must(t, s.Keep(random(3, 600), digest.FromBytes(random(3, 600))))
	wantState(t, s, d, Absent) // evicted
	if u := s.Usage(); u.WarmBlobs != 1 || u.WarmBytes != 600 || len(leftovers(t, s, tmpDir)) > 0 {
		t.Errorf("usage %+v, left %q", u, leftovers(t, s, tmpDir))
	}
}

func TestStageRefusesWhatIsNoRegularFile(t *testing.T) {
	s := newStore(t, Options{})
	d := digest.FromString("x")
	link := filepath.Join(s.Scratch(), "link")
	must(t, os.Symlink(scratch(t, s, []byte("x")), link))
	for _, path := range []string{s.Scratch(), link, filepath.Join(s.Scratch(), "none"), "/dev/null"} {
		if _, err := s.Stage(t.Context(), path, d); err == nil {
			t.Errorf("%s was staged", path)
		}
	}
}

func TestBadDigestsAreRefused(t *testing.T) {
	s := newStore(t, Options{})
	for _, d := range []digest.Digest{"", "sha256:", "sha256:../../../etc/passwd", "md5:d41d8cd98f00b204e9800998ecf8427e", "../x:abc"} {
		path := scratch(t, s, nil)
		if _, err := s.Stage(t.Context(), path, d); err == nil {
			t.Errorf("%q was staged", d)
		}
		if _, err := s.Part(d, 1); err == nil {
			t.Errorf("%q has a part", d)
		}
		if _, err := s.Open(d); !errors.Is(err, iofs.ErrNotExist) {
			t.Errorf("open of %q: %v", d, err)
		}
		must(t, s.Remove(d))
	}
}

func TestStageEndsWithItsContext(t *testing.T) {
	s := newStore(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := scratch(t, s, random(1, 100))
	if _, err := s.Stage(ctx, path, digest.FromBytes(random(1, 100))); !errors.Is(err, context.Canceled) {
		t.Errorf("stage: %v", err)
	}
	if !exists(path) {
		t.Error("the file is gone")
	}
}

// A file that is written to while it is verified is not what was hashed.
func TestLateWriterIsSeen(t *testing.T) {
	s := newStore(t, Options{})
	path := scratch(t, s, []byte("right"))
	info, err := os.Lstat(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte("wrong!"), 0o600))
	if _, err := s.adopt(path, digest.FromString("right"), info); !errors.Is(err, ErrMismatch) {
		t.Errorf("adopt: %v", err)
	}
	wantState(t, s, digest.FromString("right"), Absent)
}

func TestStageTwiceAtOnce(t *testing.T) {
	s := newStore(t, Options{})
	b := random(1, 100_000)
	var paths []string
	for range 8 {
		paths = append(paths, scratch(t, s, b))
	}
	var wg sync.WaitGroup
	for _, path := range paths {
		wg.Go(func() {
			if _, err := s.Stage(t.Context(), path, digest.FromBytes(b)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantContent(t, s, b)
	if left := leftovers(t, s, scratchDir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestStageReplacesALostCopy(t *testing.T) {
	s := newStore(t, Options{})
	b := random(1, 100)
	d := stage(t, s, b)
	must(t, os.Remove(s.file(stagedDir, d)))
	stage(t, s, b)
	wantContent(t, s, b)
}

func TestCutFileIsNotGivenOut(t *testing.T) {
	s := newStore(t, Options{})
	d := warm(t, s, random(1, 100))
	must(t, os.Chmod(s.file(warmDir, d), 0o600))
	must(t, os.Truncate(s.file(warmDir, d), 50))
	if _, err := s.Open(d); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	wantState(t, s, d, Absent)
}

func TestPromoteDemoteRemove(t *testing.T) {
	s := newStore(t, Options{})
	b := random(1, 100)
	d := stage(t, s, b)
	must(t, s.Remove(d))
	wantState(t, s, d, Staged)
	for _, step := range []struct {
		do   func(digest.Digest) error
		want State
	}{{s.Promote, Warm}, {s.Promote, Warm}, {s.Demote, Staged}, {s.Demote, Staged}, {s.Promote, Warm}} {
		must(t, step.do(d))
		wantState(t, s, d, step.want)
		wantContent(t, s, b)
	}
	must(t, s.Remove(d))
	must(t, s.Remove(d))
	if s.Usage() != (Usage{}) {
		t.Errorf("usage %+v", s.Usage())
	}
	for _, do := range []func(digest.Digest) error{s.Promote, s.Demote} {
		if err := do(d); !errors.Is(err, iofs.ErrNotExist) {
			t.Errorf("of what is not there: %v", err)
		}
	}
}
