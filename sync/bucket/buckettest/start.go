// Package buckettest serves tests: Start gives a bucket on a real S3 server on loopback, and Suite is what
// the client of sync/bucket promises, to be run against any server.
//
// Importing it lets the test binary start itself again as the server. One server serves all tests of a
// binary, and each test has a bucket of its own. Tests only; no production package imports it.
package buckettest

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/layoutfs/layoutfs/embedded"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

func init() { embedded.RunIfChild() }

// shared is the server of this test binary. It is started when the first test asks, and ends with the
// process, because there is no hook after the last test that a library could use.
var shared = sync.OnceValues(func() (*embedded.Server, error) {
	dir, err := os.MkdirTemp("", "layoutfs-buckettest-")
	if err != nil {
		return nil, err
	}
	return embedded.Start(context.Background(), embedded.Options{Dir: dir, Temporary: true})
})

// Start returns the configuration of a fresh, empty bucket on a real S3 server on loopback. The bucket is
// emptied when the test ends.
func Start(t testing.TB) bucket.Config {
	t.Helper()
	server, err := shared()
	if err != nil {
		t.Fatalf("start the S3 server for tests: %v", err)
	}
	c := server.Config()
	c.Bucket = "test-" + strings.ToLower(rand.Text()[:12])
	dir := filepath.Join(server.Dir(), "buckets", c.Bucket)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("make the bucket: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return c
}

// Open is Start and a client of the bucket.
func Open(t testing.TB) *bucket.Client {
	t.Helper()
	return OpenWith(t, Start(t), bucket.Options{})
}

// OpenWith is bucket.Open for tests.
func OpenWith(t testing.TB, c bucket.Config, o bucket.Options) *bucket.Client {
	t.Helper()
	client, err := bucket.Open(t.Context(), c, o)
	if err != nil {
		t.Fatalf("open the bucket: %v", err)
	}
	return client
}
