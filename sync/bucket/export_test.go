package bucket

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Uploads counts the uploads in parts that are under way, or were left behind.
func (c *Client) Uploads(ctx context.Context) (int, error) {
	out, err := c.s3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &c.config.Bucket})
	if err != nil {
		return 0, err
	}
	return len(out.Uploads), nil
}

// SetMaxCopy makes touching larger blobs a matter of parts.
func (c *Client) SetMaxCopy(bytes int64) { c.maxCopy = bytes }

// SetCheckWithin is how long Check may take in a test.
func (c *Client) SetCheckWithin(d time.Duration) { c.checkWithin = d }

// NewWatchdog makes a watchdog around next.
func NewWatchdog(next http.RoundTripper, header, stall time.Duration) http.RoundTripper {
	return &watchdog{next: next, header: header, stall: stall}
}

// NewTransport puts limits and deadlines before next, as Open does.
func NewTransport(next http.RoundTripper, o Options, l Limits) http.RoundTripper {
	return guarded(next, o, l)
}

// Keys are those of the CSV.
func Keys() []string { return slices.Sorted(maps.Keys(setters)) }

// Internals that have tests of their own.
var (
	Cut              = cut
	Part             = func(p part) (int32, int64, int64) { return p.number, p.off, p.len }
	EncodeDescriptor = encodeDescriptor
	DecodeDescriptor = decodeDescriptor
)

// SetPolicy sets the policy of the bucket.
func (c *Client) SetPolicy(ctx context.Context, policy string) error {
	_, err := c.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &c.config.Bucket, Policy: &policy})
	return err
}

// SetWalkEvery is how often credentials are looked for again at most.
func SetWalkEvery(o *Options, d time.Duration) { o.walkEvery = d }

// ForgetWalk makes the client believe that it looked for credentials long ago.
func (c *Client) ForgetWalk() { c.s3.Options().Credentials.(*chain).current.Load().at = time.Time{} }
