package fs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// What a killed daemon leaves is swept by the next: what is of no use at once, what a client may go on with
// after a day.
func TestSweepOfWhatAnEarlierMountLeft(t *testing.T) {
	r, err := newRig(t.TempDir())
	must(t, err)
	hex := digest.FromString("half").Encoded()
	old := time.Now().Add(-25 * time.Hour)
	want := []string{}
	for _, file := range []struct {
		path      string
		age       time.Time
		kept, dir bool // dir: the directory that it is in is kept
	}{
		{"ingest/fresh/data", time.Now(), true, true},
		{"ingest/old/data", old, false, false},
		{"app/ingest/old/data", old, false, false},
		{"app/ingest/half/old", old, false, true},
		{"app/ingest/half/fresh", time.Now(), true, true},
		{".umoci-1/blobs/sha256/" + hex, time.Now(), true, true},
		{"blobs/sha256/" + hex, time.Now(), false, true},
		{"blobs/sha256/tmp", time.Now(), true, true},
		{"blobs/sha256/old", old, false, true},
		{"app/blobs/sha256/" + hex, time.Now(), false, true},
		{"made/by/client/file", old, false, true},
		{"made/by/client/index.json", old, true, true},
		{"cache.lock", time.Now(), true, true},
	} {
		path := filepath.Join(r.local, "tree", file.path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		put(t, path, []byte("content"))
		must(t, os.Chtimes(path, file.age, file.age))
		if file.kept {
			want = append(want, file.path)
		}
		defer func() {
			if _, err := os.Stat(filepath.Dir(path)); (err == nil) != file.dir {
				t.Errorf("the directory of %s: %v", file.path, err)
			}
		}()
	}
	must(t, os.MkdirAll(filepath.Join(r.local, "spool"), 0o700))
	put(t, filepath.Join(r.local, "spool", "anew-1"), nil)
	r.mount(t)
	slices.Sort(want)
	if got := r.scratch(t); !slices.Equal(got, want) {
		t.Errorf("left are %q; want %q", got, want)
	}
	if left := r.spooled(t); len(left) > 0 {
		t.Errorf("left of what was written anew are %q", left)
	}
	wantContent(t, r.path("ingest", "fresh", "data"), []byte("content"))
	wantNames(t, r.path("made", "by", "client"), "index.json")
}
