package buckettest

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// testDeleteBlob deletes a blob, twice.
func testDeleteBlob(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	gone, kept := Put(t, c, Bytes(10)), Put(t, c, Bytes(11))
	for range 2 {
		if err := c.DeleteBlob(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.StatBlob(t.Context(), gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("StatBlob of what was deleted: %v", err)
	}
	if _, err := c.StatBlob(t.Context(), kept); err != nil {
		t.Errorf("StatBlob of another: %v", err)
	}
	if err := c.DeleteBlob(t.Context(), "../manifests/x"); err == nil {
		t.Error("what is no digest is deleted")
	}
}

// testListUploads lists an upload that is under way, and drops it. Not every server lists any.
func testListUploads(t *testing.T, cfg bucket.Config) {
	if found := ListUpload(t, cfg); found > 1 {
		t.Errorf("one unfinished upload is listed %d times", found)
	}
}

// ListUpload begins an upload, drops what is listed of it, and says how often it was listed.
func ListUpload(t *testing.T, cfg bucket.Config) (found int) {
	t.Helper()
	c := OpenWith(t, cfg, smallParts)
	b := Bytes(11 << 20)
	d := digest.FromBytes(b)
	r := &gated{ReaderAt: bytes.NewReader(b), waits: make(chan struct{}), opened: make(chan struct{})}
	put := make(chan error)
	go func() { put <- c.PutBlob(t.Context(), d, r, int64(len(b))) }()
	<-r.waits
	for u, err := range c.ListUploads(t.Context()) {
		if err != nil {
			t.Error(err)
			break
		}
		found++
		if u.Digest != d || time.Since(u.Begun).Abs() > time.Hour {
			t.Errorf("upload of %s, begun %s", u.Digest, u.Begun)
		}
		if err := c.DropUpload(t.Context(), u); err != nil {
			t.Error(err)
		}
	}
	close(r.opened)
	if err := <-put; found == 1 && err == nil {
		t.Error("an upload that was dropped succeeded")
	}
	for u, err := range c.ListUploads(t.Context()) {
		t.Errorf("it is still listed: %+v, %v", u, err)
	}
	return found
}

// testCopyBlob copies within the server to another prefix of the bucket, small and in parts.
func testCopyBlob(t *testing.T, cfg bucket.Config) {
	from := OpenWith(t, cfg, smallParts)
	cfg.Prefix = "elsewhere/"
	to := OpenWith(t, cfg, smallParts)
	if !to.SameServer(from) {
		t.Error("they are not on one server")
	}
	for _, size := range []int{0, 100, 11 << 20} {
		b := Bytes(size)
		d := Put(t, from, b)
		if err := to.CopyBlob(t.Context(), from, d, int64(size)); err != nil {
			t.Fatal(err)
		}
		got, err := Get(t.Context(), to, d, 0, -1)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("the copy of %d bytes has %d: %v", size, len(got), err)
		}
	}
	if err := to.CopyBlob(t.Context(), from, digest.FromString("nothing"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("copy of what is not there: %v", err)
	}
}

// testPins pins names with odd characters, and a name within another.
func testPins(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	want := map[string]bool{"a": true, "a/b": true, "sha256:x": true, "ü +%&?": true}
	for name := range want {
		if err := c.PutPin(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"gone", "gone"} {
		if err := errors.Join(c.PutPin(t.Context(), name), c.DeletePin(t.Context(), name), c.DeletePin(t.Context(), name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Pins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for n, err := range c.ListNames(t.Context(), "") {
		t.Errorf("a pin passes for a name: %+v, %v", n, err)
	}
}
