package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// examine returns the findings by what they are about.
func examine(t *testing.T, o Options) map[string]Finding {
	t.Helper()
	if o.MinFree == nil {
		o.MinFree = func(string) (int64, error) { return 1, nil }
	}
	all := map[string]Finding{}
	for f := range Examine(t.Context(), o) {
		t.Logf("%+v", f)
		all[f.What] = f
	}
	return all
}

func want(t *testing.T, f Finding, result Result, says string) {
	t.Helper()
	if f.Result != result || !strings.Contains(f.Says+" "+f.Do, says) {
		t.Errorf("%s: %q, %q, -> %q; want %q with %q", f.What, f.Result, f.Says, f.Do, result, says)
	}
}

func TestGoodMachineAndBucket(t *testing.T) {
	c := buckettest.Start(t)
	dir := t.TempDir()
	areas := map[string]bool{}
	for what, f := range examine(t, Options{Bucket: &c, CacheDir: filepath.Join(dir, "not", "there")}) {
		areas[f.Area] = true
		if f.Result == Fail || f.Result == Warn && what != "FUSE passthrough" {
			t.Errorf("%s: %+v", what, f)
		}
	}
	for _, area := range []string{areaMachine, areaDisk, areaBucket, areaPermission, areaServer} {
		if !areas[area] {
			t.Errorf("nothing was found about the %s", area)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left on disk: %v, %v", left, err)
	}
	c.Prefix, c.BlobsPrefix, c.ManifestsPrefix = "", "", ""
	for n, err := range buckettest.OpenWith(t, c, bucket.Options{}).ListNames(t.Context(), "") {
		t.Errorf("left in the bucket: %v, %v", n, err)
	}
}

func TestWhatIsWrongIsTold(t *testing.T) {
	c := buckettest.Start(t)
	gone, stranger := c, c
	gone.Bucket = "nope"
	stranger.AccessKeyID = "somebody"
	want(t, examine(t, Options{Bucket: &gone})[gone.String()], Fail, "no such bucket")
	want(t, examine(t, Options{Bucket: &stranger})[stranger.String()], Fail, "access_key_id")

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, examine(t, Options{CacheDir: file})["cache directory "+file], Fail, "--cache-dir")
	all := func(string) (int64, error) { return 1 << 60, nil }
	want(t, examine(t, Options{CacheDir: t.TempDir(), MinFree: all})["space"], Fail, "make room")
}

func TestReadOnlyMountIsNotAskedToWrite(t *testing.T) {
	c := buckettest.Start(t)
	var whats []string
	for what := range examine(t, Options{Bucket: &c, ReadOnly: true}) {
		whats = append(whats, what)
	}
	if slices.Contains(whats, "s3:PutObject") || !slices.Contains(whats, "s3:GetObject") {
		t.Errorf("examined: %q", whats)
	}
}
