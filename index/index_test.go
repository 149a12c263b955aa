package index

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/child"
	"github.com/layoutfs/layoutfs/index/store"
)

// TestMain is also the process that has the index open.
func TestMain(m *testing.M) {
	store.RunIfChild()
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openAt(t testing.TB, dir string, log *slog.Logger) *Index {
	t.Helper()
	x, err := Open(dir, log)
	must(t, err)
	t.Cleanup(func() { _ = x.Close() })
	return x
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func dg(s string) digest.Digest { return digest.FromString(s) }

func closureOf(seeds ...string) []ocispec.Descriptor {
	var ds []ocispec.Descriptor
	for _, s := range seeds {
		ds = append(ds, ocispec.Descriptor{Digest: dg(s), Size: int64(len(s)), MediaType: "m/" + s})
	}
	return ds
}

func TestBlobsSurvive(t *testing.T) {
	dir := t.TempDir()
	x := openAt(t, dir, quiet())
	now := time.Now().Round(0)
	want := []Blob{
		{Digest: dg("a"), Size: 1 << 40, Where: Local | Bucket, Used: now, Seen: now.Add(-time.Hour)},
		{Digest: digest.SHA512.FromString("b"), Where: Hidden},
	}
	must(t, x.PutBlobs(want...))
	must(t, x.UpdateBlob(dg("c"), func(b *Blob) { b.Size = 7 }))
	must(t, x.UpdateBlob(dg("c"), func(b *Blob) { b.Where |= Bucket }))
	want = append(want, Blob{Digest: dg("c"), Size: 7, Where: Bucket})
	must(t, x.Close())
	x = openAt(t, dir, quiet())
	for _, w := range want {
		got, ok, err := x.Blob(w.Digest)
		must(t, err)
		if diff := cmp.Diff(w, got); !ok || diff != "" {
			t.Errorf("%v %s", ok, diff)
		}
	}
	n := 0
	for b, err := range x.Blobs() {
		must(t, err)
		if !slices.ContainsFunc(want, func(w Blob) bool { return w.Digest == b.Digest }) {
			t.Errorf("unexpected %v", b)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%d blobs listed", n)
	}
	must(t, x.DeleteBlob(dg("a")))
	if _, ok, err := x.Blob(dg("a")); ok || err != nil {
		t.Errorf("deleted blob: %v %v", ok, err)
	}
}

func TestNamesAndWhatTheyReach(t *testing.T) {
	x := openAt(t, t.TempDir(), quiet())
	app := Name{
		Name: "app", Version: Version{ETag: `"e"`, LastModified: time.Unix(1, 0).UTC(), Size: 3},
		Descriptor: closureOf("m")[0], Closure: closureOf("m", "l1", "l2"), Synthetic: true,
	}
	must(t, x.PutName(app))
	must(t, x.PutName(Name{Name: "app/v1", Closure: closureOf("l2")}))
	must(t, x.PutName(Name{Name: "b\x00\xff ü"}))
	got, ok, err := x.Name("app")
	must(t, err)
	if diff := cmp.Diff(app, got); !ok || diff != "" {
		t.Error(diff)
	}
	reached := func(want bool, seed string) {
		t.Helper()
		got, err := x.Reached(dg(seed))
		must(t, err)
		if got != want {
			t.Errorf("%s reached: %v", seed, got)
		}
	}
	reached(true, "l1")
	app.Closure = closureOf("m2", "l2")
	must(t, x.PutName(app))
	reached(false, "l1")
	reached(true, "m2")
	must(t, x.DeleteName("app"))
	reached(false, "m2")
	reached(true, "l2")
	var names []string
	for n, err := range x.Names("app") {
		must(t, err)
		names = append(names, n.Name)
	}
	if diff := cmp.Diff([]string{"app/v1"}, names); diff != "" {
		t.Error(diff)
	}
	if err := x.PutName(Name{Name: strings.Repeat("x", MaxName+1)}); err == nil {
		t.Error("a name without bound was kept")
	}
}

// A crash while a name is written must not make anything reached that is not, nor hide what is.
func TestNameCutOffReachesWhatItDid(t *testing.T) {
	x := openAt(t, t.TempDir(), quiet())
	must(t, x.PutName(Name{Name: "app", Closure: closureOf("l")}))
	half := Name{Name: "app", Closure: closureOf("l", "half")}
	must(t, x.eachReverse(half, []byte("12345678"), func(key []byte) store.Change { return set(key, nil) }))
	for seed, want := range map[string]bool{"l": true, "half": false} {
		if got, err := x.Reached(dg(seed)); got != want || err != nil {
			t.Errorf("%s reached: %v %v", seed, got, err)
		}
	}
}

func TestNamesAreWrittenOneAtATime(t *testing.T) {
	x := openAt(t, t.TempDir(), quiet())
	must(t, x.PutName(Name{Name: "app"}))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			n := Name{Name: "app", Closure: closureOf("shared", fmt.Sprint(i))}
			if i%2 == 0 {
				must(t, x.PutName(n))
				return
			}
			must(t, x.UpdateName("app", func(now *Name) bool { *now = n; return true }))
		})
	}
	wg.Wait()
	n, _, err := x.Name("app")
	must(t, err)
	for i := range 16 {
		reached, err := x.Reached(dg(fmt.Sprint(i)))
		must(t, err)
		if want := n.Closure[1].Digest == dg(fmt.Sprint(i)); reached != want {
			t.Errorf("%d reached: %v, its name says %v", i, reached, want)
		}
	}
	if ok, err := x.Reached(dg("shared")); !ok || err != nil {
		t.Errorf("reached: %v %v", ok, err)
	}
}

func TestUpdateNameLeavesWhatItShould(t *testing.T) {
	x := openAt(t, t.TempDir(), quiet())
	must(t, x.UpdateName("app", func(*Name) bool { t.Error("there is no such name"); return true }))
	must(t, x.PutName(Name{Name: "app", Closure: closureOf("l")}))
	must(t, x.UpdateName("app", func(n *Name) bool { n.Closure = nil; return false }))
	if ok, err := x.Reached(dg("l")); !ok || err != nil {
		t.Errorf("reached: %v %v", ok, err)
	}
}

func TestLargeClosure(t *testing.T) {
	x := openAt(t, t.TempDir(), quiet())
	n := Name{Name: "large"}
	for i := range 20_000 {
		n.Closure = append(n.Closure, closureOf(fmt.Sprint(i))...)
	}
	must(t, x.PutName(n))
	got, _, err := x.Name("large")
	must(t, err)
	if len(got.Closure) != len(n.Closure) {
		t.Errorf("%d of %d", len(got.Closure), len(n.Closure))
	}
	if ok, err := x.Reached(dg("19999")); !ok || err != nil {
		t.Errorf("reached: %v %v", ok, err)
	}
}

func TestDamagedIndexIsBegunAnew(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"manifest cut":   func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, "MANIFEST"), 3)) },
		"manifest noise": func(t *testing.T, dir string) { noise(t, filepath.Join(dir, "MANIFEST")) },
		"the last opening ended the process": func(t *testing.T, dir string) {
			must(t, os.WriteFile(dir+".opening", nil, 0o600))
		},
		"a folder in place of a file": func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "MANIFEST")))
			must(t, os.Mkdir(filepath.Join(dir, "MANIFEST"), 0o700))
		},
		"another version": func(t *testing.T, dir string) {
			x := openAt(t, dir, quiet())
			must(t, x.write(set([]byte("v"), []byte("layoutfs index 99"))))
			must(t, x.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "index")
			x := openAt(t, dir, quiet())
			must(t, x.PutBlobs(Blob{Digest: dg("a")}))
			must(t, x.Close())
			damage(t, dir)
			var log bytes.Buffer
			x = openAt(t, dir, slog.New(slog.NewTextHandler(&log, nil)))
			must(t, x.PutBlobs(Blob{Digest: dg("b")}))
			if _, ok, err := x.Blob(dg("b")); !ok || err != nil {
				t.Errorf("new index: %v %v", ok, err)
			}
			if !strings.Contains(log.String(), "nothing is lost") {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

func noise(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	b := make([]byte, info.Size())
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	must(t, os.WriteFile(path, b, 0o600))
}

func FuzzDecode(f *testing.F) {
	f.Add(Blob{Size: 5, Where: Local}.encode())
	f.Fuzz(func(t *testing.T, v []byte) {
		if b, err := decodeBlob(dg("x"), v); err == nil {
			if again, err := decodeBlob(dg("x"), b.encode()); err != nil || again != b {
				t.Errorf("%v %v %v", b, again, err)
			}
		}
		_, _, _ = decodeName(v)
	})
}

// TestReachedWhileANameIsReplaced: a blob that the old closure of a name holds and the new one as well is reached all the time.
func TestReachedWhileANameIsReplaced(t *testing.T) {
	x := openAt(t, t.TempDir(), quiet())
	must(t, x.PutName(Name{Name: "app", Closure: closureOf("kept")}))
	var writer sync.WaitGroup
	done := make(chan struct{})
	writer.Go(func() {
		defer close(done)
		for i := range 200 {
			if err := x.PutName(Name{Name: "app", Closure: closureOf("kept", fmt.Sprint(i))}); err != nil {
				t.Error(err)
			}
		}
	})
	defer writer.Wait()
	for {
		select {
		case <-done:
			return
		default:
		}
		if ok, err := x.Reached(dg("kept")); err != nil || !ok {
			t.Fatalf("reached: %v, %v", ok, err)
		}
	}
}

// TestDamageInTheMiddle of a table is found when the index is opened, wherever it is.
func TestDamageInTheMiddle(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "index")
	x := openAt(t, whole, quiet())
	for i := range 50 {
		seed := fmt.Sprint(i)
		must(t, x.PutBlobs(Blob{Digest: dg(seed)}))
		must(t, x.PutName(Name{Name: seed, Closure: closureOf(seed)}))
	}
	must(t, x.Close())
	for at := 0; at < 3000; at += 300 {
		dir := filepath.Join(t.TempDir(), "index")
		must(t, os.CopyFS(dir, os.DirFS(whole)))
		f, err := os.OpenFile(filepath.Join(dir, tableOf(t, whole)), os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte{0xff, 0xff, 0xff, 0x7f}, int64(at))
		must(t, errors.Join(err, f.Close()))
		var log bytes.Buffer
		x := started(t, dir, slog.New(slog.NewTextHandler(&log, nil)))
		must(t, x.PutBlobs(Blob{Digest: dg("a")}))
		must(t, x.Close()) // then all that its process says is logged
		if !strings.Contains(log.String(), "begun anew") {
			t.Errorf("damage at %d is not seen", at)
		}
	}
}

func started(t testing.TB, dir string, log *slog.Logger) *Index {
	t.Helper()
	x, err := Start(dir, log)
	must(t, err)
	t.Cleanup(func() { _ = x.Close() })
	return x
}

func tableOf(t *testing.T, dir string) string {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) != 1 {
		t.Fatalf("tables %q, %v", tables, err)
	}
	return filepath.Base(tables[0])
}

// TestIndexThatIsLostWhileItIsOpen goes on in memory, with what is found elsewhere, whatever was done to its files or to
// its process; no caller sees an error. The next opening begins it anew.
func TestIndexThatIsLostWhileItIsOpen(t *testing.T) {
	cut := func(pattern string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			files, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: %q, %v", pattern, files, err)
			}
			for _, file := range files {
				must(t, os.Truncate(file, 0))
			}
		}
	}
	for name, damage := range map[string]func(t *testing.T, dir string){
		"tables that cannot be read":   cut("*.sst"),
		"a log that cannot be written": cut("*.mem"),
		"no directory":                 func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
		"no process": func(t *testing.T, _ string) {
			pid, err := child.Find(os.Getpid(), "layoutfs-index")
			must(t, err)
			must(t, syscall.Kill(pid, syscall.SIGKILL))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "index")
			x := openAt(t, dir, quiet())
			must(t, x.PutBlobs(Blob{Digest: dg("a"), Size: 1}))
			must(t, x.Close())
			var log bytes.Buffer
			x = started(t, dir, slog.New(slog.NewTextHandler(&log, nil)))
			x.Recall(func(error) Known {
				return Known{Blobs: []Blob{{Digest: dg("a"), Size: 2}}, Names: []Name{{Name: "app", Descriptor: closureOf("m")[0]}}}
			})
			damage(t, dir)
			must(t, x.PutBlobs(Blob{Digest: dg("b")}))
			for _, err := range x.Blobs() { // more than what is remembered of the files
				must(t, err)
			}
			a, ok, err := x.Blob(dg("a"))
			if a.Size != 2 || !ok || err != nil {
				t.Errorf("what was found again: %v, %v, %v", a, ok, err)
			}
			must(t, x.PutBlobs(Blob{Digest: dg("c")}))
			if _, ok, err := x.Blob(dg("c")); !ok || err != nil {
				t.Errorf("what was written since: %v, %v", ok, err)
			}
			n, ok, err := x.Name("app")
			if n.Descriptor.Digest != dg("m") || !ok || err != nil {
				t.Errorf("the name: %+v, %v, %v", n, ok, err)
			}
			must(t, x.Close())
			if !strings.Contains(log.String(), "kept in memory") {
				t.Errorf("log: %s", log.String())
			}
			log.Reset()
			openAt(t, dir, slog.New(slog.NewTextHandler(&log, nil)))
			if !strings.Contains(log.String(), "begun anew") {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}
