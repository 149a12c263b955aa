package disk

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
)

// fakeVolume says what is free, as the test has it.
type fakeVolume struct{ free atomic.Int64 }

func (v *fakeVolume) Free() (int64, error) { return v.free.Load(), nil }

func testOptions(t testing.TB, o Options) Options {
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return o
}

func newStore(t testing.TB, o Options) *Store {
	t.Helper()
	return reopen(t, t.TempDir(), o)
}

func reopen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, testOptions(t, o))
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// onVolume is a store on a volume with so many bytes free.
func onVolume(t testing.TB, free int64, o Options) (*Store, *fakeVolume) {
	t.Helper()
	v := &fakeVolume{}
	v.free.Store(free)
	s, err := open(t.TempDir(), testOptions(t, o), v)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s, v
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// random is content that differs by seed.
func random(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func scratch(t testing.TB, s *Store, b []byte) string {
	t.Helper()
	f, err := os.CreateTemp(s.Scratch(), "data")
	must(t, err)
	_, err = f.Write(b)
	must(t, err)
	must(t, f.Close())
	return f.Name()
}

func stage(t testing.TB, s *Store, b []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(b)
	size, err := s.Stage(t.Context(), scratch(t, s, b), d)
	must(t, err)
	if size != int64(len(b)) {
		t.Fatalf("staged %d bytes of %d", size, len(b))
	}
	return d
}

func warm(t testing.TB, s *Store, b []byte) digest.Digest {
	t.Helper()
	d := stage(t, s, b)
	must(t, s.Promote(d))
	return d
}

func openPart(t testing.TB, s *Store, b []byte) *Part {
	t.Helper()
	p, err := s.Part(digest.FromBytes(b), int64(len(b)))
	must(t, err)
	return p
}

func chunk(b []byte, i int) []byte { return b[i*ChunkSize : min(len(b), (i+1)*ChunkSize)] }

func write(t testing.TB, p *Part, b []byte, chunks ...int) {
	t.Helper()
	for _, i := range chunks {
		must(t, p.WriteChunk(i, chunk(b, i)))
	}
}

func content(s *Store, d digest.Digest) (string, error) {
	f, err := s.Open(d)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return string(b), err
}

func wantContent(t testing.TB, s *Store, b []byte) {
	t.Helper()
	got, err := content(s, digest.FromBytes(b))
	must(t, err)
	if got != string(b) {
		t.Fatalf("read %d bytes that are not those written", len(got))
	}
}

func wantState(t testing.TB, s *Store, d digest.Digest, want State) {
	t.Helper()
	if got := s.Stat(d).State; got != want {
		t.Fatalf("blob %s is %v, want %v", d, got, want)
	}
}

// leftovers lists files below a folder.
func leftovers(t testing.TB, s *Store, dir string) (files []string) {
	t.Helper()
	must(t, filepath.WalkDir(filepath.Join(s.dir, dir), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, fmt.Sprint(path))
		}
		return err
	}))
	return files
}
