package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func open(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	must(t, s.Close())
	return open(t, s.dir, s.o)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}

var scratchNumber int

func scratch(t testing.TB, s *Store, b []byte) string {
	t.Helper()
	scratchNumber++
	path := filepath.Join(s.Scratch(), fmt.Sprint(scratchNumber))
	must(t, os.WriteFile(path, b, 0o644))
	return path
}

func stage(t testing.TB, s *Store, b []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(b)
	if _, err := s.Stage(context.Background(), scratch(t, s, b), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func warm(t testing.TB, s *Store, b []byte) digest.Digest {
	t.Helper()
	d := stage(t, s, b)
	must(t, s.Promote(d))
	return d
}

func content(t *testing.T, s *Store, d digest.Digest) []byte {
	t.Helper()
	f, err := s.Open(d)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	return b
}

func TestTheWayOfABlob(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	b := random(3000)
	d := stage(t, s, b)
	for _, step := range []struct {
		do   func(*Store, digest.Digest) error
		want State
	}{
		{(*Store).Promote, Warm},
		{(*Store).Promote, Warm},
		{(*Store).Demote, Staged},
		{(*Store).Remove, Staged},
		{(*Store).Promote, Warm},
		{(*Store).Remove, Absent},
		{(*Store).Remove, Absent},
	} {
		if s.Stat(d).State != Absent {
			if got := content(t, s, d); !bytes.Equal(got, b) {
				t.Fatalf("%d bytes, not what was staged", len(got))
			}
		}
		must(t, step.do(s, d))
		if got := s.Stat(d).State; got != step.want {
			t.Fatalf("state %v, want %v", got, step.want)
		}
		s = reopen(t, s)
		if got := s.Stat(d).State; got != step.want {
			t.Fatalf("state %v after opening again, want %v", got, step.want)
		}
	}
	if _, err := s.Open(d); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("open of what is not there: %v", err)
	}
	if u := s.Usage(); u != (Usage{}) {
		t.Errorf("usage of an empty store: %+v", u)
	}
}

func TestStageRefusesWhatDoesNotMatch(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	path := scratch(t, s, []byte("these bytes"))
	for _, d := range []digest.Digest{digest.FromString("others"), "sha256:../../../etc/passwd", "md5:0123456789abcdef0123456789abcdef", ""} {
		if _, err := s.Stage(t.Context(), path, d); err == nil {
			t.Errorf("%q was staged", d)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("after a refusal the scratch file is gone: %v", err)
		}
	}
	if _, err := s.Stage(t.Context(), s.Scratch(), digest.FromString("x")); err == nil {
		t.Error("a folder was staged")
	}
}

func TestOneDaemonPerDirectory(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	_, err := Open(s.dir, Options{})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.PID != os.Getpid() {
		t.Fatalf("second opening: %v", err)
	}
	must(t, s.Close())
	open(t, s.dir, Options{})
}

func TestScratchIsSweptAndStrangersAreLeftAlone(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	stale := scratch(t, s, []byte("stale"))
	stage(t, s, []byte("blob"))
	stranger := filepath.Join(s.dir, "blobs", "sha256", "lost+found")
	must(t, os.MkdirAll(stranger, 0o700))
	s = reopen(t, s)
	if _, err := os.Stat(stale); !errors.Is(err, iofs.ErrNotExist) {
		t.Error("stale scratch was kept")
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Error("a stranger was removed")
	}
	if u := s.Usage(); u.StagedBlobs != 1 || u.StagedBytes != 4 {
		t.Errorf("usage %+v", u)
	}
}

func TestEvictionTakesTheLeastRecentlyUsed(t *testing.T) {
	s := open(t, t.TempDir(), Options{CacheSize: 10_000})
	var evicted []digest.Digest
	s.OnEvict(func(d digest.Digest) { evicted = append(evicted, d) })
	old, used, staged := warm(t, s, random(3000)), warm(t, s, random(3001)), stage(t, s, random(9000))
	s.Touch(used, time.Now().Add(-time.Hour))
	s.Touch(old, time.Now().Add(-time.Minute))
	content(t, s, used)
	warm(t, s, random(6000))
	want := map[digest.Digest]State{old: Absent, used: Warm, staged: Staged}
	for d, state := range want {
		if got := s.Stat(d).State; got != state {
			t.Errorf("%s is %v, want %v", d, got, state)
		}
	}
	if diff := cmp.Diff([]digest.Digest{old}, evicted); diff != "" {
		t.Error(diff)
	}
	if u := s.Usage(); u.WarmBytes > 10_000 || u.Evicted != 3000 {
		t.Errorf("usage %+v", u)
	}
}

func TestFreeSpaceIsKept(t *testing.T) {
	s := open(t, t.TempDir(), Options{MinFree: 1000})
	disk := int64(1 << 30)
	s.free = func() (int64, error) { return disk - s.Usage().WarmBytes, nil }
	must(t, s.Admit(100))
	victim := warm(t, s, random(5000))
	disk = 6500
	s.budget.Store(0)
	must(t, s.Admit(1000))
	if s.Stat(victim).State != Absent {
		t.Error("nothing was evicted for scratch")
	}
	if err := s.Admit(6000); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("scratch beyond the free space: %v", err)
	}
	if _, err := s.Part(digest.FromString("x"), 50<<20); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a partial blob beyond the free space: %v", err)
	}
	must(t, s.Admit(100))
}

func write(t testing.TB, p *Part, b []byte, chunks ...int) {
	t.Helper()
	for _, c := range chunks {
		must(t, p.WriteChunk(c, b[c*ChunkSize:min(len(b), (c+1)*ChunkSize)]))
	}
}

func part(t testing.TB, s *Store, b []byte) *Part {
	t.Helper()
	p, err := s.Part(digest.FromBytes(b), int64(len(b)))
	must(t, err)
	return p
}

func TestPartRemembersItsChunks(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	b := random(5*ChunkSize + 100)
	p := part(t, s, b)
	write(t, p, b, 1, 5, 2)
	must(t, p.Close())
	s = reopen(t, s)
	p = part(t, s, b)
	if diff := cmp.Diff([]Range{{0, 1}, {3, 5}}, p.Missing(0, p.Chunks())); diff != "" {
		t.Fatal(diff)
	}
	got := make([]byte, 200)
	if _, err := p.ReadAt(got, 3*ChunkSize-100); err == nil {
		t.Error("a chunk that is not there was read")
	}
	n, err := p.ReadAt(got, 5*ChunkSize)
	if n != 100 || !errors.Is(err, io.EOF) || !bytes.Equal(got[:n], b[5*ChunkSize:]) {
		t.Errorf("read of the end: %d, %v", n, err)
	}
	write(t, p, b, 4, 0, 3)
	must(t, p.Finish(t.Context()))
	must(t, p.Finish(t.Context()))
	if got := content(t, s, p.digest); !bytes.Equal(got, b) {
		t.Error("the warm blob differs")
	}
	if n, err := p.ReadAt(got, 77); n != 200 || err != nil || !bytes.Equal(got, b[77:277]) {
		t.Errorf("read of a finished part: %d, %v", n, err)
	}
	must(t, p.Close())
	if _, err := s.Part(p.digest, int64(len(b))); !errors.Is(err, iofs.ErrExist) {
		t.Errorf("part of what is complete: %v", err)
	}
}

func TestPartWithWrongBytesIsDropped(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	b := random(2 * ChunkSize)
	p := part(t, s, b)
	bad := bytes.Clone(b)
	bad[ChunkSize+5] ^= 1
	write(t, p, bad, 1, 0)
	if err := p.Finish(t.Context()); !errors.Is(err, ErrMismatch) {
		t.Fatal(err)
	}
	again := part(t, s, b)
	if again == p || len(again.Missing(0, 2)) == 0 {
		t.Fatal("the wrong chunks are still there")
	}
	write(t, again, b, 0, 1)
	must(t, again.Finish(t.Context()))
	must(t, errors.Join(p.Close(), again.Close()))
	if !bytes.Equal(content(t, s, p.digest), b) {
		t.Error("the warm blob differs")
	}
}

func TestPartAndStageOfTheSameBlob(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	b := random(2 * ChunkSize)
	p := part(t, s, b)
	write(t, p, b, 0)
	d := stage(t, s, b)
	write(t, p, b, 1)
	must(t, p.Finish(t.Context()))
	must(t, p.Close())
	if got := s.Stat(d).State; got != Staged {
		t.Errorf("state %v", got)
	}
	s = reopen(t, s)
	if u := s.Usage(); u.StagedBlobs != 1 || u.PartialBlobs != 0 || u.WarmBlobs != 0 {
		t.Errorf("usage %+v", u)
	}
}

func TestPartsAreShared(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	b := random(20 * ChunkSize)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			p := part(t, s, b)
			for c := range p.Chunks() {
				if c%8 == g {
					write(t, p, b, c)
				}
			}
			must(t, p.Close())
		})
	}
	wg.Wait()
	p := part(t, s, b)
	must(t, p.Finish(t.Context()))
	must(t, p.Close())
	if !bytes.Equal(content(t, s, p.digest), b) {
		t.Error("the warm blob differs")
	}
}

func TestPendingDocuments(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	for _, name := range []string{"app", "a/b c", "../../x", "\x00", ""} {
		must(t, s.PutPending(name, []byte("one")))
		must(t, s.PutPending(name, []byte("two "+name)))
	}
	s = reopen(t, s)
	docs, err := s.Pending()
	must(t, err)
	if len(docs) != 5 || string(docs["../../x"]) != "two ../../x" {
		t.Errorf("pending: %q", docs)
	}
	must(t, s.RemovePending("app", []byte("one")))
	must(t, s.RemovePending("a/b c", []byte("two a/b c")))
	must(t, s.RemovePending("nothing", nil))
	docs, err = s.Pending()
	must(t, err)
	if _, ok := docs["app"]; !ok || len(docs) != 4 {
		t.Errorf("pending: %q", docs)
	}
}

// Nothing is ever seen to be absent between two states, whatever happens at the same time.
func TestCopiesUnderLoad(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	b := random(100_000)
	d := stage(t, s, b)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				f, err := s.Open(d)
				if err != nil {
					t.Error(err)
					return
				}
				_ = f.Close()
			}
		})
	}
	for range 200 {
		must(t, s.Promote(d))
		must(t, s.Demote(d))
		stage(t, s, b)
	}
	close(done)
	wg.Wait()
}

func FuzzMap(f *testing.F) {
	m := newMap(3*ChunkSize + 5)
	m.set(1)
	f.Add(m.encode())
	f.Add([]byte(mapMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMap(b)
		if err != nil {
			return
		}
		if again, err := parseMap(m.encode()); err != nil || again.have != m.have || again.size != m.size {
			t.Errorf("a map does not survive: %v", err)
		}
	})
}

func BenchmarkStage(b *testing.B) {
	s, err := Open(b.TempDir(), Options{})
	must(b, err)
	data := random(256 << 20)
	d := digest.FromBytes(data)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		b.StopTimer()
		path := scratch(b, s, data)
		b.StartTimer()
		_, err := s.Stage(context.Background(), path, d)
		must(b, err)
		b.StopTimer()
		must(b, errors.Join(s.Promote(d), s.Remove(d)))
		b.StartTimer()
	}
}
