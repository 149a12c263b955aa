package bucket_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// operation is what S3 calls a request.
func operation(r *http.Request) string {
	q, copies := r.URL.Query(), r.Header.Get("X-Amz-Copy-Source") != ""
	switch {
	case q.Has("uploads") && r.Method == http.MethodGet:
		return "ListMultipartUploads"
	case q.Has("uploads"):
		return "CreateMultipartUpload"
	case r.Method == http.MethodPost:
		return "CompleteMultipartUpload"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "AbortMultipartUpload"
	case r.Method == http.MethodDelete:
		return "DeleteObject"
	case q.Has("partNumber") && copies:
		return "UploadPartCopy"
	case q.Has("partNumber"):
		return "UploadPart"
	case copies:
		return "CopyObject"
	case r.Method == http.MethodPut:
		return "PutObject"
	case r.Method == http.MethodHead:
		return "HeadObject"
	case q.Has("list-type"):
		return "ListObjectsV2"
	}
	return "GetObject"
}

// operations are all that the client asks of a server.
var operations = []string{
	"AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload", "DeleteObject",
	"GetObject", "HeadObject", "ListObjectsV2", "PutObject", "UploadPart", "UploadPartCopy",
}

// byOperation keeps the requests that pass.
type byOperation struct {
	mu   sync.Mutex // guards following
	seen map[string][]*http.Request
}

func (b *byOperation) note(_ int64, r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen == nil {
		b.seen = map[string][]*http.Request{}
	}
	b.seen[operation(r)] = append(b.seen[operation(r)], r)
	return nil, nil
}

// everything makes the client do all that it can, on a real server.
func everything(t *testing.T, cfg bucket.Config) map[string][]*http.Request {
	t.Helper()
	all := &byOperation{}
	c := buckettest.OpenWith(t, cfg, bucket.Options{PartSize: 5 << 20, Transport: &fault{do: all.note}})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Check(t.Context()))
	small, large := buckettest.Put(t, c, buckettest.Bytes(100)), buckettest.Put(t, c, buckettest.Bytes(6<<20))
	must(c.TouchBlob(t.Context(), small, 100))
	c.SetMaxCopy(5 << 20)
	must(c.TouchBlob(t.Context(), large, 6<<20))
	if err := c.PutBlob(t.Context(), large, strings.NewReader("too short"), 6<<20); err == nil {
		t.Error("an upload in parts of a file that is too short: no error")
	}
	_, err := c.StatBlob(t.Context(), small)
	must(err)
	_, err = buckettest.Get(t.Context(), c, small, 10, 20)
	must(err)
	must(c.PutName(t.Context(), "app", []byte("{}"), nil))
	_, err = c.GetName(t.Context(), "app")
	must(err)
	for _, err := range c.ListNames(t.Context(), "") {
		must(err)
	}
	for _, err := range c.ListBlobs(t.Context()) {
		must(err)
	}
	must(c.DeleteName(t.Context(), "app"))
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, op := range operations {
		if len(all.seen[op]) == 0 {
			t.Errorf("there was no %s", op)
		}
	}
	return all.seen
}

// TestHeadersOfTheConfiguration: each is on every request that needs it, and on no other: S3 refuses some of
// them there.
func TestHeadersOfTheConfiguration(t *testing.T) {
	t.Parallel()
	cfg := buckettest.Start(t)
	cfg.Bucket += "-owned" // by who makes it with a request, not as a folder
	if err := buckettest.OpenWith(t, cfg, bucket.Options{}).CreateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg.Access.RequestPayer, cfg.Access.ExpectedBucketOwner = "requester", cfg.AccessKeyID
	cfg.Storage = bucket.Storage{SSE: "aws:kms", SSEKMSKeyID: "key", Class: "STANDARD_IA", ACL: "private"}
	copies := []string{"CopyObject", "UploadPartCopy"}
	makes := []string{"PutObject", "CreateMultipartUpload", "CopyObject"}
	headers := map[string]struct {
		value string
		on    []string
	}{
		"X-Amz-Request-Payer":                         {"requester", operations},
		"X-Amz-Expected-Bucket-Owner":                 {cfg.AccessKeyID, operations},
		"X-Amz-Source-Expected-Bucket-Owner":          {cfg.AccessKeyID, copies},
		"X-Amz-Server-Side-Encryption":                {"aws:kms", makes},
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": {"key", makes},
		"X-Amz-Storage-Class":                         {"STANDARD_IA", makes},
		"X-Amz-Acl":                                   {"private", makes},
	}
	for op, requests := range everything(t, cfg) {
		for _, r := range requests {
			for header, h := range headers {
				want := ""
				if slices.Contains(h.on, op) {
					want = h.value
				}
				if got := r.Header.Get(header); got != want {
					t.Errorf("%s has %s: %q, want %q", op, header, got, want)
				}
				if want != "" && !strings.Contains(r.Header.Get("Authorization"), strings.ToLower(header)) {
					t.Errorf("%s does not sign %s", op, header)
				}
			}
		}
	}
}

// TestPlainRequests carry nothing that a server may not know: no conditions, no checksums, nothing of the
// configuration that was not given. What the environment says of checksums does not count.
func TestPlainRequests(t *testing.T) {
	t.Setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
	t.Setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_supported")
	for op, requests := range everything(t, buckettest.Start(t)) {
		for _, r := range requests {
			wantNoChecksum(t, r)
			for header := range r.Header {
				for _, odd := range []string{"If-", "X-Amz-Server-Side", "X-Amz-Storage", "X-Amz-Acl", "X-Amz-Request-Payer", "X-Amz-Expected"} {
					if strings.HasPrefix(header, odd) {
						t.Errorf("%s has %s", op, header)
					}
				}
			}
		}
	}
}

// TestExpectedBucketOwner is somebody else's bucket on a real server.
func TestExpectedBucketOwner(t *testing.T) {
	t.Parallel()
	cfg := buckettest.Start(t)
	cfg.Access.ExpectedBucketOwner = "123456789012"
	c := buckettest.OpenWith(t, cfg, bucket.Options{})
	if err := c.Check(t.Context()); !errors.Is(err, bucket.ErrDenied) {
		t.Errorf("Check: %v", err)
	}
	if err := c.PutBlob(t.Context(), digest.FromString("x"), strings.NewReader("x"), 1); !errors.Is(err, bucket.ErrDenied) {
		t.Errorf("put: %v", err)
	}
}
