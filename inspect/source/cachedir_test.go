package source_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/layoutfs/layoutfs/inspect/source"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// TestCacheDirInUse is read without the index: manifests go by their digests, and a notice says why.
func TestCacheDirInUse(t *testing.T) {
	c := newContent(t)
	dir := t.TempDir()
	c.cacheDir(t, dir)
	store, err := disk.Open(dir, disk.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	checkUnnamed(t, c, dir, "is in use (pid")
}

// TestCacheDirWithoutIndex likewise.
func TestCacheDirWithoutIndex(t *testing.T) {
	c := newContent(t)
	dir := t.TempDir()
	c.cacheDir(t, dir)
	must(t, os.RemoveAll(filepath.Join(dir, "index")))
	must(t, os.Mkdir(filepath.Join(dir, "index"), 0o700))
	checkUnnamed(t, c, dir, "the names cannot be read")
}

func checkUnnamed(t *testing.T, c *content, dir, notice string) {
	t.Helper()
	src, err := source.OpenCacheDir(t.Context(), dir, slog.New(slog.DiscardHandler))
	must(t, err)
	if !strings.Contains(src.Notice(), notice) {
		t.Errorf("the notice is %q", src.Notice())
	}
	names := namesOf(t, src)
	for _, d := range c.all() {
		n, ok := names[d.Digest.String()]
		if !ok || n.Descriptor.Size != d.Size {
			t.Errorf("manifest %s is listed (%v) as %+v", d.Digest, ok, n)
		}
		delete(names, d.Digest.String())
	}
	delete(names, broken) // it waits for publication, which is not in the index
	if len(names) > 0 {
		t.Errorf("these are listed, too: %+v", names)
	}
}
