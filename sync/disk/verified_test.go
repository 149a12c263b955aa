package disk

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// rot turns a bit over in the local copy of a blob.
func rot(t testing.TB, s *Store, d digest.Digest) {
	t.Helper()
	s.mu.Lock()
	path := s.path(s.table.get(d))
	s.mu.Unlock()
	must(t, os.Chmod(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, 1000)
	must(t, err)
	b[0] ^= 4
	_, err = f.WriteAt(b, 1000)
	must(t, err)
}

// hashedAt is when the local copy of a blob was hashed last; with a time given, that is what it is taken for.
func hashedAt(t testing.TB, s *Store, d digest.Digest, at ...time.Time) time.Time {
	t.Helper()
	s.mu.Lock()
	e := s.table.get(d)
	s.mu.Unlock()
	s.seals.mu.Lock()
	defer s.seals.mu.Unlock()
	known, ok := s.seals.by[e]
	if !ok {
		t.Fatalf("blob %s was not hashed", d)
	}
	if len(at) > 0 {
		known.at = at[0]
		s.seals.by[e] = known
	}
	return known.at
}

func openVerified(t testing.TB, s *Store, d digest.Digest) error {
	t.Helper()
	f, err := s.OpenVerified(t.Context(), d)
	if err == nil {
		must(t, f.Close())
	}
	return err
}

func TestCopyThatIsWrongIsDropped(t *testing.T) {
	s := newStore(t, Options{})
	d := warm(t, s, random(1, 3<<20))
	must(t, openVerified(t, s, d))
	rot(t, s, d)
	if err := openVerified(t, s, d); !errors.Is(err, ErrDropped) || !errors.Is(err, ErrMismatch) {
		t.Errorf("open of a copy with a wrong bit: %v", err)
	}
	wantState(t, s, d, Absent)
	if files := append(leftovers(t, s, warmDir), leftovers(t, s, tmpDir)...); len(files) > 0 {
		t.Errorf("left: %q", files)
	}
	if u := s.Usage(); u.Rotten != 1 || !s.WasWrong(d) {
		t.Errorf("counted: %d; was wrong: %t", u.Rotten, s.WasWrong(d))
	}
}

// A staged copy may be the only one: it stays, is never given out, and gives way to one that is right.
func TestStagedCopyThatIsWrongStays(t *testing.T) {
	s := newStore(t, Options{})
	content := random(1, 10_000)
	d := stage(t, s, content)
	rot(t, s, d)
	for range 3 {
		if err := openVerified(t, s, d); !errors.Is(err, ErrMismatch) || errors.Is(err, ErrDropped) {
			t.Errorf("open of a staged copy with a wrong bit: %v", err)
		}
	}
	wantState(t, s, d, Staged)
	if u := s.Usage(); u.Rotten != 1 {
		t.Errorf("it was found wrong %d times", u.Rotten)
	}
	stage(t, s, content)
	must(t, openVerified(t, s, d))
	wantContent(t, s, content)
}

// What this process has verified is not hashed again for some minutes, whatever it does to the file itself.
func TestVerifiedCopyIsNotHashedAgainAtOnce(t *testing.T) {
	s := newStore(t, Options{})
	content := random(1, 2*ChunkSize)
	ways := map[string]func() digest.Digest{
		"written": func() digest.Digest { return warm(t, s, random(2, 10_000)) },
		"kept": func() digest.Digest {
			must(t, s.Keep(random(3, 10_000), digest.FromBytes(random(3, 10_000))))
			return digest.FromBytes(random(3, 10_000))
		},
		"fetched": func() digest.Digest {
			p := openPart(t, s, content)
			write(t, p, content, 0, 1)
			must(t, p.Finish(t.Context()))
			must(t, p.Close())
			s.work.Wait() // it is in its place
			return digest.FromBytes(content)
		},
	}
	for way, have := range ways {
		t.Run(way, func(t *testing.T) {
			d := have()
			s.mu.Lock()
			s.table.get(d).noted = time.Time{} // so that the next use is noted in the file's times
			s.mu.Unlock()
			before := hashedAt(t, s, d)
			must(t, openVerified(t, s, d))
			if after := hashedAt(t, s, d); !after.Equal(before) {
				t.Errorf("it was hashed again")
			}
			hashedAt(t, s, d, before.Add(-2*sealed))
			must(t, openVerified(t, s, d))
			if after := hashedAt(t, s, d); after.Before(before) {
				t.Error("it was not hashed again after a while")
			}
		})
	}
}

// Who opens a copy while it is hashed waits for that, as long as he likes.
func TestOpensShareOneHash(t *testing.T) {
	s := reopenedWith(t, random(1, 1<<20))
	d := digest.FromBytes(random(1, 1<<20))
	for range hashers {
		s.seals.places <- struct{}{} // so that hashing waits
	}
	impatient, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := s.OpenVerified(impatient, d)
		first <- err
	}()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := openVerified(t, s, d); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("an open that was given up: %v", err)
	}
	<-s.seals.places // for one
	group.Wait()
	before := hashedAt(t, s, d)
	must(t, openVerified(t, s, d))
	if !hashedAt(t, s, d).Equal(before) {
		t.Error("it was hashed again")
	}
}

// reopenedWith is a store that knows a warm blob from the run before.
func reopenedWith(t testing.TB, b []byte) *Store {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(dir, testOptions(t, Options{}))
	must(t, err)
	warm(t, s, b)
	must(t, s.Close())
	return reopen(t, dir, Options{})
}

// A bit that turned over while no daemon ran is found by the first open.
func TestCopyIsHashedAfterARestart(t *testing.T) {
	content := random(1, 10_000)
	s := reopenedWith(t, content)
	d := digest.FromBytes(content)
	rot(t, s, d)
	if err := openVerified(t, s, d); !errors.Is(err, ErrDropped) {
		t.Errorf("open of a copy with a wrong bit: %v", err)
	}
}
