package bucket

import (
	"context"
	"net/http"
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

// Internals that have tests of their own.
var (
	Cut              = cut
	Part             = func(p part) (int32, int64, int64) { return p.number, p.off, p.len }
	EncodeDescriptor = encodeDescriptor
	DecodeDescriptor = decodeDescriptor
)
