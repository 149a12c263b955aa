package bucket_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// recorder is a server that takes everything, and keeps what it was asked.
type recorder struct {
	mu       sync.Mutex // guards following
	requests []*http.Request
}

func (rec *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	switch q := r.URL.Query(); {
	case q.Has("uploads"):
		body = "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"
	case r.Method == http.MethodPost:
		body = "<CompleteMultipartUploadResult><ETag>etag</ETag></CompleteMultipartUploadResult>"
	}
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.requests = append(rec.requests, r)
	return &http.Response{
		StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{"Etag": {`"etag"`}},
	}, nil
}

// hashes are the payload hashes that requests with a payload were signed with.
func (rec *recorder) hashes() []string {
	var all []string
	for _, r := range rec.requests {
		if r.Method == http.MethodPut {
			all = append(all, r.Header.Get("X-Amz-Content-Sha256"))
		}
	}
	slices.Sort(all)
	return all
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestPayloadHash is what a payload is signed with: the digest where it is at hand, nothing where TLS keeps
// it whole, a hash of its own else.
func TestPayloadHash(t *testing.T) {
	t.Parallel()
	const part, unsigned = 5 << 20, "UNSIGNED-PAYLOAD"
	small, large := buckettest.Bytes(1000), buckettest.Bytes(part+1)
	parts := []string{sha(large[:part]), sha(large[part:])}
	slices.Sort(parts)
	tests := []struct {
		endpoint  string
		algorithm digest.Algorithm
		blob      []byte
		want      []string
	}{
		{"http://s3.test", digest.SHA256, small, []string{sha(small)}},
		{"https://s3.test", digest.SHA256, small, []string{sha(small)}},
		{"http://s3.test", digest.SHA512, small, []string{sha(small)}},
		{"https://s3.test", digest.SHA512, small, []string{unsigned}},
		{"http://s3.test", digest.SHA256, large, parts},
		{"https://s3.test", digest.SHA256, large, []string{unsigned, unsigned}},
	}
	for _, tc := range tests {
		rec := &recorder{}
		c := buckettest.OpenWith(t, at(tc.endpoint), bucket.Options{Transport: rec, PartSize: part})
		d := tc.algorithm.FromBytes(tc.blob)
		if err := c.PutBlob(t.Context(), d, bytes.NewReader(tc.blob), int64(len(tc.blob))); err != nil {
			t.Fatal(err)
		}
		if got := rec.hashes(); !slices.Equal(got, tc.want) {
			t.Errorf("%s of %d bytes at %s is signed with %q, want %q", tc.algorithm, len(tc.blob), tc.endpoint, got, tc.want)
		}
		for _, r := range rec.requests {
			wantNoChecksum(t, r)
		}
	}
}

// wantNoChecksum looks for the checksums that the SDK adds by default and that other servers refuse.
func wantNoChecksum(t *testing.T, r *http.Request) {
	t.Helper()
	for key, value := range r.Header {
		if strings.Contains(strings.ToLower(key), "checksum") || key == "X-Amz-Trailer" || slices.Contains(value, "aws-chunked") {
			t.Errorf("%s %s has the header %s: %q", r.Method, r.URL, key, value)
		}
	}
}

func TestAddressing(t *testing.T) {
	t.Parallel()
	d := digest.FromString("x")
	key := "/p/blobs/sha256:" + d.Encoded()
	for name, tc := range map[string]struct {
		edit func(c *bucket.Config)
		want string
	}{
		"path style":                 {func(c *bucket.Config) { c.EndpointURL, c.UsePathStyle = "http://s3.test:9000/base", true }, "http://s3.test:9000/base/bucket" + key},
		"virtual host":               {func(c *bucket.Config) { c.EndpointURL, c.UsePathStyle = "http://s3.test:9000", false }, "http://bucket.s3.test:9000" + key},
		"AWS":                        {func(c *bucket.Config) { c.EndpointURL, c.UsePathStyle = "", false }, "https://bucket.s3.eu-west-1.amazonaws.com" + key},
		"AWS, path style not heeded": {func(c *bucket.Config) { c.EndpointURL, c.UsePathStyle = "", true }, "https://bucket.s3.eu-west-1.amazonaws.com" + key},
	} {
		cfg := at("")
		cfg.Bucket, cfg.Region, cfg.Prefix = "bucket", "eu-west-1", "p/"
		tc.edit(&cfg)
		rec := &recorder{}
		if _, err := buckettest.OpenWith(t, cfg, bucket.Options{Transport: rec}).StatBlob(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		r := rec.requests[0]
		if got := fmt.Sprintf("%s://%s%s", r.URL.Scheme, r.URL.Host, r.URL.Path); got != tc.want {
			t.Errorf("%s: asked %s, want %s", name, got, tc.want)
		}
	}
}

// TestEndpointOfTheEnvironment is the SDK's own, as type=s3 has it too; an address that is given counts above
// it.
func TestEndpointOfTheEnvironment(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://env.test:81")
	for given, want := range map[string]string{"": "bucket.env.test:81", "http://given.test": "bucket.given.test"} {
		cfg := at(given)
		cfg.Bucket, cfg.UsePathStyle = "bucket", false
		rec := &recorder{}
		if _, err := buckettest.OpenWith(t, cfg, bucket.Options{Transport: rec}).StatBlob(t.Context(), digest.FromString("x")); err != nil {
			t.Fatal(err)
		}
		if got := rec.requests[0].URL.Host; got != want {
			t.Errorf("endpoint_url=%s: asked %s, want %s", given, got, want)
		}
	}
}

// TestAcceptEncoding is what GCS needs: a header that it changes must not be signed.
func TestAcceptEncoding(t *testing.T) {
	t.Parallel()
	for disable, want := range map[bool]string{false: "identity", true: ""} {
		cfg := at("http://s3.test")
		cfg.DisableAcceptEncoding = disable
		rec := &recorder{}
		if _, err := buckettest.OpenWith(t, cfg, bucket.Options{Transport: rec}).StatBlob(t.Context(), digest.FromString("x")); err != nil {
			t.Fatal(err)
		}
		h := rec.requests[0].Header
		if got := h.Get("Accept-Encoding"); got != want || strings.Contains(h.Get("Authorization"), "accept-encoding") == disable {
			t.Errorf("disable_accept_encoding=%v: Accept-Encoding %q, %s", disable, got, h.Get("Authorization"))
		}
	}
}
