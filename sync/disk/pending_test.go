package disk

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPendingSurvivesARestart(t *testing.T) {
	s := newStore(t, Options{})
	names := []string{"", "app", "a/b", "../../etc/passwd", ".", "\xff\x00\n\"", strings.Repeat("n", 1024)}
	for _, name := range names {
		must(t, s.PutPending(name, []byte("old")))
		must(t, s.PutPending(name, []byte("doc\nof "+name)))
	}
	must(t, s.Close())
	s = reopen(t, s.dir, Options{})
	docs, err := s.Pending()
	must(t, err)
	if got := slices.Sorted(maps.Keys(docs)); !slices.Equal(got, slices.Sorted(slices.Values(names))) {
		t.Errorf("names %q", got)
	}
	for name, doc := range docs {
		if string(doc) != "doc\nof "+name {
			t.Errorf("%q has %q", name, doc)
		}
	}
}

func TestRemovePendingComparesFirst(t *testing.T) {
	s := newStore(t, Options{})
	must(t, s.PutPending("app", []byte("new")))
	must(t, s.RemovePending("app", []byte("old")))
	must(t, s.RemovePending("none", nil))
	if docs, err := s.Pending(); err != nil || string(docs["app"]) != "new" {
		t.Errorf("pending %q, %v", docs, err)
	}
	must(t, s.RemovePending("app", []byte("new")))
	if docs, err := s.Pending(); err != nil || len(docs) != 0 {
		t.Errorf("pending %q, %v", docs, err)
	}
}

func TestDamagedPendingIsLeftOut(t *testing.T) {
	s := newStore(t, Options{})
	must(t, s.PutPending("app", []byte("doc")))
	for name, b := range map[string]string{"x": "no line", "y": "\"other\"\ndoc", "z": "unquoted\ndoc"} {
		must(t, os.WriteFile(filepath.Join(s.dir, namesDir, name), []byte(b), 0o600))
	}
	docs, err := s.Pending()
	must(t, err)
	if len(docs) != 1 || string(docs["app"]) != "doc" {
		t.Errorf("pending %q", docs)
	}
}

func FuzzPending(f *testing.F) {
	f.Add("a/b", []byte("doc\n"))
	f.Fuzz(func(t *testing.T, name string, doc []byte) {
		n, d, err := decodePending(encodePending(name, doc))
		if err != nil || n != name || string(d) != string(doc) {
			t.Errorf("%q, %q: %v", n, d, err)
		}
		_, _, _ = decodePending(doc)
	})
}

func FuzzMap(f *testing.F) {
	m := partMap{size: 9*ChunkSize + 1, file: inode{7, -9}, chunks: newBitmap(10)}
	m.chunks.set(9)
	f.Add(m.encode())
	f.Add(partMap{}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMap(b)
		if err == nil && string(m.encode()) != string(b) {
			t.Errorf("%q is read as %+v", b, m)
		}
		// The same behind a right checksum.
		if len(b) >= mapSum {
			fixed := partMap{}.encode()
			copy(fixed, b)
			_, _ = decodeMap(fixed)
		}
	})
}

func TestUploadsAreNotedUntilTheyEnd(t *testing.T) {
	s := newStore(t, Options{})
	want := map[string]string{"id one": "p/blobs/sha256:a", "id/two\n": "p/blobs/sha256:a", "three": "k\nk"}
	for id, key := range want {
		must(t, s.BeginUpload(key, id))
	}
	must(t, s.BeginUpload("done", "four"))
	must(t, s.EndUpload("done", "four"))
	must(t, s.EndUpload("done", "never begun"))
	must(t, os.WriteFile(filepath.Join(s.dir, uploadsDir, "strange"), []byte("x"), 0o600))
	must(t, s.Close())
	s = reopen(t, s.dir, Options{})
	left, err := s.Uploads()
	must(t, err)
	if diff := cmp.Diff(want, maps.Collect(left)); diff != "" {
		t.Error(diff)
	}
	if files := leftovers(t, s, tmpDir); len(files) > 0 {
		t.Errorf("left: %q", files)
	}
}
