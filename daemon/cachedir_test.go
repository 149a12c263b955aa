package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/disk"
)

func TestEveryBucketHasItsOwnFolder(t *testing.T) {
	c := validConfig()
	seen := map[string]bool{}
	for _, set := range []func(){
		func() {},
		func() { c.Bucket.Bucket = "other" },
		func() { c.Bucket.Prefix = "p/" },
		func() { c.Bucket.BlobsPrefix = "" },
		func() { c.Bucket.ManifestsPrefix = "" },
		func() { c.Bucket.EndpointURL = "http://127.0.0.1:9000" },
		func() { c.Embedded = "/srv/bucket" },
		func() { c.Bucket.Bucket = "arn:aws:s3:eu-west-1:1:accesspoint/../x" },
	} {
		set()
		dir, err := c.DefaultCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		if seen[dir] || strings.Contains(filepath.Base(dir), "/") || filepath.Clean(dir) != dir {
			t.Errorf("the folder is %s", dir)
		}
		seen[dir] = true
	}
	before, _ := c.DefaultCacheDir()
	c.Bucket.SecretAccessKey, c.Bucket.AccessKeyID, c.Bucket.Names = "s", "a", []string{"x"}
	if after, _ := c.DefaultCacheDir(); after != before {
		t.Error("keys and names are no matter of the folder")
	}
}

// cacheOf opens a cache directory as the mount of a bucket does.
func cacheOf(t *testing.T, dir string, i identity) (*disk.Store, error) {
	t.Helper()
	s, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, claimCache(s, dir, i, discard)
}

func TestCacheDirectoryOfAnotherBucket(t *testing.T) {
	dir := t.TempDir()
	one := identity{Bucket: "one", Endpoint: "http://a"}
	s, err := cacheOf(t, dir, one)
	if err != nil {
		t.Fatal(err)
	}
	content := []byte("staged for bucket one")
	path := filepath.Join(s.Scratch(), "blob")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stage(t.Context(), path, digest.FromBytes(content)); err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(s.IndexDir(), "marker")
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()

	s, err = cacheOf(t, dir, identity{Bucket: "two"})
	if err == nil || !strings.Contains(err.Error(), "1 blob (21 B) to be uploaded to") || !strings.Contains(err.Error(), "s3://one/") {
		t.Errorf("what is staged for one bucket goes to another: %v", err)
	}
	_ = s.Close()

	if s, err = cacheOf(t, dir, identity{Bucket: "one", Endpoint: "/srv/one"}); err == nil {
		t.Error("what is staged for one bucket goes to one in a folder, which only has the same name")
	}
	_ = s.Close()

	moved := identity{Bucket: "one", Endpoint: "http://b"}
	if s, err = cacheOf(t, dir, moved); err != nil {
		t.Errorf("the same bucket at another address: %v", err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the index of another server is believed")
	}
	if got, err := readIdentity(filepath.Join(dir, identityFile)); err != nil || got != moved {
		t.Errorf("noted is %+v, %v", got, err)
	}
	if err := s.Promote(digest.FromBytes(content)); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if _, err = cacheOf(t, dir, identity{Bucket: "two"}); err != nil {
		t.Errorf("with nothing staged: %v", err)
	}
}

func TestIdentityFileThatIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), identityFile)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readIdentity(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}
