package bucket_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// losing loses the answer to the first request of an operation, which the server has done.
func losing(op string, lost *atomic.Bool) *fault {
	return &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		if operation(r) != op || lost.Swap(true) {
			return nil, nil
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return nil, syscall.ECONNRESET
	}}
}

// TestLostAnswers: every write is done again when its answer was lost, and comes to the same.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	large, small := buckettest.Bytes(6<<20), buckettest.Bytes(100)
	put := func(t *testing.T, c *bucket.Client, b []byte) {
		t.Helper()
		d := buckettest.Put(t, c, b)
		if got, err := buckettest.Get(t.Context(), c, d, 0, -1); err != nil || !bytes.Equal(got, b) {
			t.Errorf("read %d other bytes, %v", len(got), err)
		}
	}
	touch := func(t *testing.T, c *bucket.Client, b []byte) {
		t.Helper()
		if err := c.TouchBlob(t.Context(), buckettest.Put(t, c, b), int64(len(b))); err != nil {
			t.Errorf("touch: %v", err)
		}
		put(t, c, b)
	}
	for op, do := range map[string]func(t *testing.T, c *bucket.Client){
		"PutObject":               func(t *testing.T, c *bucket.Client) { put(t, c, small) },
		"UploadPart":              func(t *testing.T, c *bucket.Client) { put(t, c, large) },
		"CompleteMultipartUpload": func(t *testing.T, c *bucket.Client) { put(t, c, large) },
		"CopyObject":              func(t *testing.T, c *bucket.Client) { touch(t, c, small) },
		"UploadPartCopy":          func(t *testing.T, c *bucket.Client) { c.SetMaxCopy(5 << 20); touch(t, c, large) },
		"AbortMultipartUpload": func(t *testing.T, c *bucket.Client) {
			if err := c.PutBlob(t.Context(), buckettest.Put(t, c, small), broken{syscall.EIO}, 6<<20); !errors.Is(err, syscall.EIO) {
				t.Errorf("put: %v", err)
			}
		},
		"DeleteObject": func(t *testing.T, c *bucket.Client) {
			if err := errors.Join(c.PutName(t.Context(), "app", []byte("{}"), nil), c.DeleteName(t.Context(), "app")); err != nil {
				t.Error(err)
			}
			if _, err := c.GetName(t.Context(), "app"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("get: %v", err)
			}
		},
	} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			var lost atomic.Bool
			c := buckettest.OpenWith(t, buckettest.Start(t), bucket.Options{Transport: losing(op, &lost), PartSize: 5 << 20})
			do(t, c)
			wantUploads(t, c, 0)
			if !lost.Load() {
				t.Errorf("no answer to %s was lost", op)
			}
		})
	}
}

// TestErrorsWithStatus200: S3 begins to answer before it is done, and may end with an error all the same.
func TestErrorsWithStatus200(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"CompleteMultipartUpload", "CopyObject", "UploadPartCopy"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			var failed atomic.Bool
			f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
				if operation(r) != op || failed.Swap(true) {
					return nil, nil
				}
				return answer(r, http.StatusOK, "InternalError"), nil
			}}
			c := buckettest.OpenWith(t, buckettest.Start(t), bucket.Options{Transport: f, PartSize: 5 << 20})
			if op == "UploadPartCopy" {
				c.SetMaxCopy(5 << 20)
			}
			b := buckettest.Bytes(6 << 20)
			if err := c.TouchBlob(t.Context(), buckettest.Put(t, c, b), int64(len(b))); err != nil || !failed.Load() {
				t.Errorf("touch: %v; it failed once: %v", err, failed.Load())
			}
			wantUploads(t, c, 0)
		})
	}
}

// TestUploadIsGone is a completion that finds its upload gone: because an earlier try, whose answer was lost,
// has done it, or because the server forgot it.
func TestUploadIsGone(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{true, false} {
		f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
			if operation(r) != "CompleteMultipartUpload" {
				return nil, nil
			}
			if done {
				resp, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					return nil, err
				}
				_ = resp.Body.Close()
			}
			return answer(r, http.StatusNotFound, "NoSuchUpload"), nil
		}}
		c := buckettest.OpenWith(t, buckettest.Start(t), bucket.Options{Transport: f, PartSize: 5 << 20})
		b := buckettest.Bytes(6 << 20)
		err := c.PutBlob(t.Context(), digest.FromBytes(b), bytes.NewReader(b), int64(len(b)))
		if done != (err == nil) || err != nil && !strings.Contains(err.Error(), "NoSuchUpload") {
			t.Errorf("put, with the object there: %v: %v", done, err)
		}
	}
}
