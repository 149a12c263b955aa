package main

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/embedded"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// The blobs that are verified: 512 MiB.
const (
	verifiedBlobs = 64
	verifiedSize  = 8 << 20
)

// randomLayout is a folder with such blobs, and their digests.
func randomLayout(b *testing.B) (dir string, all []digest.Digest) {
	b.Helper()
	dir = b.TempDir()
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		b.Fatal(err)
	}
	for range verifiedBlobs {
		content := make([]byte, verifiedSize)
		_, _ = rand.Read(content)
		d := digest.FromBytes(content)
		all = append(all, d)
		if err := os.WriteFile(filepath.Join(blobs, d.Encoded()), content, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for file, text := range map[string]string{
		ocispec.ImageLayoutFile: `{"imageLayoutVersion":"1.0.0"}`, ocispec.ImageIndexFile: `{"schemaVersion":2,"manifests":[]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir, all
}

// each does something with all of them, some at once.
func each(b *testing.B, all []digest.Digest, atOnce int, do func(d digest.Digest) error) time.Duration {
	b.Helper()
	began := time.Now()
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, d := range all {
		group.Go(func() error { return do(d) })
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

// hashing is how long it takes to hash the files, on all processors.
func hashing(b *testing.B, dir string, all []digest.Digest) time.Duration {
	b.Helper()
	return each(b, all, runtime.NumCPU(), func(d digest.Digest) error {
		f, err := os.Open(filepath.Join(dir, "blobs", "sha256", d.Encoded()))
		if err != nil {
			return err
		}
		defer f.Close()
		sum := sha256.New()
		_, err = io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{f}, make([]byte, 1<<20))
		return err
	})
}

// transfer is how long it takes to fetch the blobs to nowhere, as many at once as is best.
func transfer(b *testing.B, csv string, all []digest.Digest) time.Duration {
	b.Helper()
	config, err := daemon.ParseBucket(csv, nil, false)
	if err != nil {
		b.Fatal(err)
	}
	client, err := bucket.Open(b.Context(), config, bucket.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return each(b, all, 8, func(d digest.Digest) error {
		r, err := client.OpenBlob(b.Context(), d, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(io.Discard, r)
		return err
	})
}

// verifying is how long `layoutfs verify` takes, all of it.
func verifying(b *testing.B, args ...string) time.Duration {
	b.Helper()
	began := time.Now()
	out := program(b, append([]string{"verify", "--restart"}, args...)...)
	if want := fmt.Sprintf(" %d blobs in 512 MiB verified", verifiedBlobs); !strings.Contains(out, want) {
		b.Fatalf("there is no %q: %s", want, out)
	}
	return time.Since(began)
}

// wantShare fails unless verifying goes at 80 % of the rate of what bounds it.
func wantShare(b *testing.B, bound, took time.Duration) {
	b.Helper()
	share := bound.Seconds() / took.Seconds()
	b.ReportMetric(share, "of-bound")
	if share < 0.8 {
		b.Errorf("verify goes at %.0f %% of what bounds it", 100*share)
	}
}

// BenchmarkVerifyFolder is bounded by hashing.
func BenchmarkVerifyFolder(b *testing.B) {
	b.Setenv("XDG_CACHE_HOME", b.TempDir())
	dir, all := randomLayout(b)
	var bound, took time.Duration
	for b.Loop() {
		bound += hashing(b, dir, all)
		took += verifying(b, "--layout", dir)
	}
	b.SetBytes(verifiedBlobs * verifiedSize)
	wantShare(b, bound, took)
}

// BenchmarkVerifyBucket is bounded by the slower of hashing and transfer: over a link of 1 Gbit/s by that. On
// loopback server, transfer and hashing share the processors; that is reported, and bound by all of them.
func BenchmarkVerifyBucket(b *testing.B) {
	b.Setenv("XDG_CACHE_HOME", b.TempDir())
	dir, all := randomLayout(b)
	s, err := embedded.Start(b.Context(), embedded.Options{Dir: b.TempDir(), Bucket: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	c := s.Config()
	csv := fmt.Sprintf("region=%s,bucket=%s,use_path_style=true,endpoint_url=%s,access_key_id=%s,secret_access_key=%s",
		c.Region, c.Bucket, c.EndpointURL, c.AccessKeyID, c.SecretAccessKey)
	client, err := bucket.Open(b.Context(), c, bucket.Options{})
	if err != nil {
		b.Fatal(err)
	}
	each(b, all, 2, func(d digest.Digest) error {
		f, err := os.Open(filepath.Join(dir, "blobs", "sha256", d.Encoded()))
		if err != nil {
			return err
		}
		defer f.Close()
		return client.PutBlob(b.Context(), d, f, verifiedSize)
	})
	b.Run("link", func(b *testing.B) {
		limited := csv + ",download_limit=125MB"
		var bound, took time.Duration
		for b.Loop() {
			bound += max(hashing(b, dir, all), transfer(b, limited, all))
			took += verifying(b, "--s3", limited)
		}
		wantShare(b, bound, took)
	})
	b.Run("loopback", func(b *testing.B) {
		var bound, took time.Duration
		for b.Loop() {
			bound += hashing(b, dir, all) + transfer(b, csv, all)
			took += verifying(b, "--s3", csv)
		}
		wantShare(b, bound, took)
	})
}
