package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// TestFailureAheadIsNone: what is refused while a blob is written costs no more than that it is sent later.
func TestFailureAheadIsNone(t *testing.T) {
	t.Parallel()
	var refused atomic.Bool
	f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("partNumber") == "2" && refused.CompareAndSwap(false, true) {
			return answer(r, 403, "AccessDenied"), nil
		}
		return nil, nil
	}}
	c, b, d, written := complete(t, f, 11<<20)
	err := c.PutAhead(t.Context(), d, bytes.NewReader(b), int64(len(b)), written)
	if !errors.Is(err, bucket.ErrDenied) || !refused.Load() {
		t.Errorf("PutAhead: %v", err)
	}
	wantNoUploads(t, c)
	if err := c.PutBlob(t.Context(), d, bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
	if got, err := buckettest.Get(t.Context(), c, d, 0, -1); err != nil || !bytes.Equal(got, b) {
		t.Errorf("get: %d bytes, %v", len(got), err)
	}
}

// TestNobodyTakesOver: who is stopped while he takes over what was sent, or before that, leaves nothing behind.
func TestNobodyTakesOver(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	part := make(chan struct{}, 10)
	f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("partNumber") != "" {
			part <- struct{}{}
			<-held
		}
		return nil, nil
	}}
	c, b, d, written := complete(t, f, 6<<20)
	ended := make(chan error)
	go func() { ended <- c.PutAhead(t.Context(), d, bytes.NewReader(b), int64(len(b)), written) }()
	<-part
	<-part
	ctx, cancel := context.WithCancel(t.Context())
	put := make(chan error)
	go func() { put <- c.PutBlob(ctx, d, bytes.NewReader(b), int64(len(b))) }()
	cancel()
	if err := <-put; !errors.Is(err, context.Canceled) {
		t.Errorf("PutBlob: %v", err)
	}
	close(held)
	close(written)
	if err := <-ended; err != nil {
		t.Errorf("PutAhead: %v", err)
	}
	wantNoUploads(t, c)
}

// complete is a client with a fault, and a blob all of which is written already.
func complete(t *testing.T, f *fault, size int) (*bucket.Client, []byte, digest.Digest, chan int64) {
	t.Helper()
	b := buckettest.Bytes(size)
	written := make(chan int64, 1)
	written <- int64(size)
	c := buckettest.OpenWith(t, buckettest.Start(t), bucket.Options{Transport: f, PartSize: 5 << 20})
	return c, b, digest.FromBytes(b), written
}

func wantNoUploads(t *testing.T, c *bucket.Client) {
	t.Helper()
	if n, err := c.Uploads(t.Context()); err != nil || n != 0 {
		t.Errorf("%d uploads are left behind, %v", n, err)
	}
}

// TestFirstBlobsOfAnExportGoAhead, while the link has nothing else to do, also those that would go up in one request:
// two of them, and none soon after.
func TestFirstBlobsOfAnExportGoAhead(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 10)
	f := &fault{edit: func(_ int64, r *http.Response) {
		if r.Request.Method == http.MethodPost && r.Request.URL.Query().Has("uploads") {
			begun <- struct{}{}
		}
	}}
	c := buckettest.OpenWith(t, buckettest.Start(t), bucket.Options{Transport: f})
	b := buckettest.Bytes(17 << 20)
	ended := make(chan error, 2)
	for i := range 2 {
		go func() {
			ended <- c.PutAhead(t.Context(), digest.FromString(string(rune('a'+i))), bytes.NewReader(b), int64(len(b)), make(chan int64))
		}()
		<-begun
	}
	wantNotBegun := func(when string, size int) {
		t.Helper()
		written := make(chan int64)
		close(written)
		err := c.PutAhead(t.Context(), digest.FromString(when), bytes.NewReader(b), int64(size), written)
		if err != nil || len(begun) > 0 {
			t.Errorf("%s: %d are begun, %v", when, len(begun), err)
		}
	}
	wantNotBegun("a small one", 16<<20)
	wantNotBegun("a third one", len(b))
	for i := range 2 {
		// Nothing of it was sent, so all of it is now. The digest is not checked here.
		if err := c.PutBlob(t.Context(), digest.FromString(string(rune('a'+i))), bytes.NewReader(b), int64(len(b))); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	wantNotBegun("while the link is busy", len(b))
	wantNoUploads(t, c)
}
