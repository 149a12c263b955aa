package bucket_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

func TestSmoke(t *testing.T) {
	c := buckettest.Open(t)
	data := bytes.Repeat([]byte("layoutfs"), 3<<20)
	d := digest.FromBytes(data)
	if err := c.PutBlob(t.Context(), d, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	o, err := c.StatBlob(t.Context(), d)
	t.Log(o, err)
	r, err := c.OpenBlob(t.Context(), d, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	t.Log(len(b), err, bytes.Equal(b, data))
	t.Log(c.TouchBlob(t.Context(), d, o.Size))
	v, err := c.PutName(t.Context(), "app", []byte("{}"), nil)
	t.Log(v, err)
	for n, err := range c.ListNames(t.Context(), "") {
		t.Log(n, err, n.Version == v)
	}
	for n, err := range c.ListBlobs(t.Context()) {
		t.Log(n, err)
	}
}
