package buckettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// smallParts makes uploads in parts of as few bytes as S3 allows.
var smallParts = bucket.Options{PartSize: 5 << 20}

// Bytes are n bytes that do not compress, the same for the same n.
func Bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}

// Put uploads b and returns its digest.
func Put(t testing.TB, c *bucket.Client, b []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(b)
	if err := c.PutBlob(t.Context(), d, bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatalf("put a blob of %d bytes: %v", len(b), err)
	}
	return d
}

// Get reads n bytes of a blob from off.
func Get(ctx context.Context, c *bucket.Client, d digest.Digest, off, n int64) ([]byte, error) {
	r, err := c.OpenBlob(ctx, d, off, n)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func testBlobRoundTrip(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, smallParts)
	const part = 5 << 20
	for _, size := range []int{0, 1, 1000, part, part + 1, 2 * part, 2*part + 3} {
		want := Bytes(size)
		d := Put(t, c, want)
		o, err := c.StatBlob(t.Context(), d)
		if err != nil || o.Digest != d || o.Size != int64(size) || time.Since(o.LastModified).Abs() > time.Hour {
			t.Errorf("StatBlob of %d bytes = %+v, %v", size, o, err)
		}
		if got, err := Get(t.Context(), c, d, 0, -1); err != nil || !bytes.Equal(got, want) {
			t.Errorf("blob of %d bytes: read %d other bytes, %v", size, len(got), err)
		}
	}
}

func testRanges(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	want := Bytes(1000)
	d := Put(t, c, want)
	for _, r := range []struct{ off, n int64 }{{0, -1}, {0, 1000}, {0, 1}, {999, 1}, {10, 20}, {10, -1}, {5, 0}, {1000, 0}} {
		end := r.off + r.n
		if r.n < 0 {
			end = 1000
		}
		if got, err := Get(t.Context(), c, d, r.off, r.n); err != nil || !bytes.Equal(got, want[r.off:end]) {
			t.Errorf("%d bytes from %d: read %d bytes, %v", r.n, r.off, len(got), err)
		}
	}
	for _, r := range []struct{ off, n int64 }{{0, 1001}, {999, 2}, {1000, 1}, {1000, -1}, {5000, 10}} {
		if _, err := Get(t.Context(), c, d, r.off, r.n); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes from %d, of 1000: %v, want io.ErrUnexpectedEOF", r.n, r.off, err)
		}
	}
	empty := Put(t, c, nil)
	for _, r := range []struct{ off, n int64 }{{0, 1}, {1, 1}, {1, -1}} {
		if _, err := Get(t.Context(), c, empty, r.off, r.n); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes from %d, of none: %v, want io.ErrUnexpectedEOF", r.n, r.off, err)
		}
	}
}

func testNoBlob(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	d := digest.FromString("nowhere")
	if _, err := c.StatBlob(t.Context(), d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("StatBlob: %v, want fs.ErrNotExist", err)
	}
	if _, err := c.OpenBlob(t.Context(), d, 0, -1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenBlob: %v, want fs.ErrNotExist", err)
	}
	if err := c.TouchBlob(t.Context(), d, 7); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("TouchBlob: %v, want fs.ErrNotExist", err)
	}
}

// testKeys reads with one set of prefixes what another wrote that joins to the same keys.
func testKeys(t *testing.T, cfg bucket.Config) {
	cfg.Prefix, cfg.BlobsPrefix, cfg.ManifestsPrefix = "a/pre", "b-", "m-"
	c := OpenWith(t, cfg, bucket.Options{})
	d := Put(t, c, []byte("blob"))
	if err := c.PutName(t.Context(), "x", []byte("{}"), nil); err != nil {
		t.Fatal(err)
	}
	cfg.Prefix, cfg.BlobsPrefix, cfg.ManifestsPrefix = "", "a/preb-", "a/pre"
	other := OpenWith(t, cfg, bucket.Options{})
	if _, err := other.StatBlob(t.Context(), d); err != nil {
		t.Errorf("blob is not at prefix+blobs_prefix+digest: %v", err)
	}
	if _, err := other.GetName(t.Context(), "m-x"); err != nil {
		t.Errorf("name is not at prefix+manifests_prefix+name: %v", err)
	}
}

// testTouch touches until the time that is kept in whole seconds has moved.
func testTouch(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, smallParts)
	for _, size := range []int{0, 100, 5<<20 + 100} {
		want := Bytes(size)
		d := Put(t, c, want)
		before, err := c.StatBlob(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		after := before
		for deadline := time.Now().Add(10 * time.Second); !after.LastModified.After(before.LastModified); {
			if time.Now().After(deadline) {
				t.Fatalf("LastModified of a blob of %d bytes is still %v", size, after.LastModified)
			}
			if err := c.TouchBlob(t.Context(), d, int64(size)); err != nil {
				t.Fatal(err)
			}
			if after, err = c.StatBlob(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := Get(t.Context(), c, d, 0, -1); err != nil || !bytes.Equal(got, want) {
			t.Errorf("after the touch: read %d other bytes, %v", len(got), err)
		}
	}
}

func testPages(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	const many = 1003 // a page has 1000
	want := map[digest.Digest]int64{}
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	for i := range many {
		b := fmt.Appendf(nil, "%d", i)
		d := digest.FromBytes(b)
		want[d] = int64(len(b))
		group.Go(func() error { return c.PutBlob(ctx, d, bytes.NewReader(b), int64(len(b))) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := blobs(t, c); !maps.Equal(got, want) {
		t.Errorf("%d blobs are listed, want %d", len(got), len(want))
	}
	for _, err := range c.ListBlobs(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		break // must not go on, nor panic
	}
}

// blobs lists the sizes of all blobs.
func blobs(t testing.TB, c *bucket.Client) map[digest.Digest]int64 {
	t.Helper()
	all := map[digest.Digest]int64{}
	for o, err := range c.ListBlobs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if o.LastModified.IsZero() || o.LastModified.Nanosecond() != 0 {
			t.Errorf("listed LastModified is %v, want whole seconds", o.LastModified)
		}
		all[o.Digest] = o.Size
	}
	return all
}

func testOddKeys(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	d := Put(t, c, []byte("blob"))
	inBlobs := cfg
	inBlobs.ManifestsPrefix = cfg.BlobsPrefix
	intruder := OpenWith(t, inBlobs, bucket.Options{})
	for _, key := range []string{"README", "sha256:short", "sha256-abc", "x y/z", "sha256:" + d.Encoded() + ".tmp"} {
		if err := intruder.PutName(t.Context(), key, []byte("{}"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := blobs(t, c), map[digest.Digest]int64{d: 4}; !maps.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	all := cfg
	all.ManifestsPrefix = ""
	if got := names(t, OpenWith(t, all, bucket.Options{}), "blobs/sha256:"+d.Encoded()); len(got) != 1 {
		t.Errorf("names that begin like the blob: %v, want only the one that is no blob", got)
	}
}

// testOddPages lists with pages of few objects: every one of them comes, once.
func testOddPages(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	want := map[digest.Digest]int64{}
	for i := range 12 {
		want[Put(t, c, Bytes(i+1))] = int64(i + 1)
	}
	for _, name := range []string{"a b", "a/b+c", "ü:%20"} {
		put(t, c, name, "{}", nil)
	}
	for _, size := range []int32{1, 2, 5, 11, 12, 13} {
		paged := OpenWith(t, cfg, bucket.Options{PageSize: size})
		if got := blobs(t, paged); !maps.Equal(got, want) {
			t.Errorf("pages of %d: listed %v, want %v", size, got, want)
		}
		if got := names(t, paged, ""); len(got) != 3 {
			t.Errorf("pages of %d: listed the names %v", size, got)
		}
	}
}
