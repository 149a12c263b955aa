package buckettest

import (
	"bytes"
	"maps"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// testOddPrefix does everything to a blob whose key has to be escaped: in a path, in the header that names
// the source of a copy, and in a listing.
func testOddPrefix(t *testing.T, cfg bucket.Config) {
	cfg.Prefix = "größe a+b%2F(1)/"
	c := OpenWith(t, cfg, smallParts)
	for _, size := range []int{100, 5<<20 + 100} {
		want := Bytes(size)
		d := Put(t, c, want)
		if err := c.TouchBlob(t.Context(), d, int64(size)); err != nil {
			t.Error(err)
		}
		if o, err := c.StatBlob(t.Context(), d); err != nil || o.Size != int64(size) {
			t.Errorf("StatBlob of %d bytes = %+v, %v", size, o, err)
		}
		if got, err := Get(t.Context(), c, d, 0, -1); err != nil || !bytes.Equal(got, want) {
			t.Errorf("blob of %d bytes: read %d other bytes, %v", size, len(got), err)
		}
		if _, ok := blobs(t, c)[d]; !ok {
			t.Errorf("blob of %d bytes is not listed", size)
		}
	}
}

// testOtherAlgorithm is of a digest that is not what a request is signed with.
func testOtherAlgorithm(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, smallParts)
	for _, size := range []int{0, 100, 5<<20 + 100} {
		want := Bytes(size)
		d := digest.SHA512.FromBytes(want)
		if err := c.PutBlob(t.Context(), d, bytes.NewReader(want), int64(size)); err != nil {
			t.Fatal(err)
		}
		if got, err := Get(t.Context(), c, d, 0, -1); err != nil || !bytes.Equal(got, want) {
			t.Errorf("blob of %d bytes: read %d other bytes, %v", size, len(got), err)
		}
		if got := blobs(t, c)[d]; got != int64(size) {
			t.Errorf("blob of %d bytes is listed with %d", size, got)
		}
	}
}

// testWrittenAgain is what an export does whose host does not know that the blob is there.
func testWrittenAgain(t *testing.T, cfg bucket.Config) {
	want := Bytes(6 << 20)
	d := digest.FromBytes(want)
	for _, how := range []bucket.Options{{}, smallParts, smallParts, {}} {
		c := OpenWith(t, cfg, how)
		Put(t, c, want)
		if got, err := Get(t.Context(), c, d, 0, -1); err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d other bytes, %v", len(got), err)
		}
		if got := blobs(t, c); !maps.Equal(got, map[digest.Digest]int64{d: int64(len(want))}) {
			t.Errorf("listed %v", got)
		}
	}
}
