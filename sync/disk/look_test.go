package disk

import (
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// TestLookSeesWhatTheStoreSees, while the store is open and after it.
func TestLookSeesWhatTheStoreSees(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, testOptions(t, Options{}))
	must(t, err)
	staged, warm, part := stage(t, s, random(1, 100)), stage(t, s, random(2, 200)), digest.FromBytes(random(3, 3*ChunkSize))
	must(t, s.Promote(warm))
	p, err := s.Part(part, 3*ChunkSize)
	must(t, err)
	must(t, p.WriteChunk(1, random(4, ChunkSize)))
	must(t, s.PutPending("app/x", []byte("doc")))
	look := func() map[digest.Digest]State {
		l, err := OpenLook(dir)
		must(t, err)
		defer func() { must(t, l.Release()) }()
		all := map[digest.Digest]State{}
		for info, err := range l.All() {
			must(t, err)
			all[info.Digest] = info.State
			if got := l.Stat(info.Digest); got.State != info.State || got.Size != info.Size {
				t.Errorf("Stat says %+v, All %+v", got, info)
			}
		}
		docs, err := l.Pending()
		must(t, err)
		if string(docs["app/x"]) != "doc" {
			t.Errorf("what waits: %q", docs)
		}
		return all
	}
	want := map[digest.Digest]State{staged: Staged, warm: Warm, part: Partial}
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Errorf("beside the store (-want +got):\n%s", diff)
	}
	must(t, p.Close())
	must(t, s.Close())
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Errorf("after the store (-want +got):\n%s", diff)
	}
}

// TestLookKeepsDaemonsOut until it is released, and is itself kept from nothing but the index.
func TestLookKeepsDaemonsOut(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, testOptions(t, Options{}))
	must(t, err)
	b := random(1, 100)
	d := stage(t, s, b)
	beside, err := OpenLook(dir)
	must(t, err)
	if busy := beside.Busy(); busy == nil || busy.PID != os.Getpid() {
		t.Errorf("the owner is %+v", busy)
	}
	must(t, s.Promote(d))
	f, err := beside.Open(d)
	must(t, err)
	got, err := io.ReadAll(f)
	must(t, errors.Join(err, f.Close()))
	if digest.FromBytes(got) != d {
		t.Error("other bytes")
	}
	must(t, s.Close())

	alone, err := OpenLook(dir)
	must(t, err)
	if alone.Busy() != nil {
		t.Errorf("nobody owns it, and it is said to be %v", alone.Busy())
	}
	busy := (*BusyError)(nil)
	if _, err := Open(dir, testOptions(t, Options{})); !errors.As(err, &busy) {
		t.Errorf("a daemon takes what is looked at: %v", err)
	}
	must(t, alone.Release())
	must(t, reopen(t, dir, Options{}).Remove(d))
	if _, err := alone.Open(d); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("open what is gone: %v", err)
	}
}

func TestLookAtSomethingElse(t *testing.T) {
	if _, err := OpenLook(t.TempDir()); err == nil {
		t.Error("any folder is taken for a cache directory")
	}
}
