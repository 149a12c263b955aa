package bucket

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/opencontainers/go-digest"
)

// CopyBlob copies a blob of size bytes from another bucket of the same server, within the server. It is an
// error, and nothing is left behind, where the server cannot or may not do that: then the blob has to be
// read and written.
func (c *Client) CopyBlob(ctx context.Context, from *Client, d digest.Digest, size int64) error {
	key, source := c.blobKey(d), from.copySource(from.blobKey(d))
	var err error
	if size > c.maxCopy {
		err = c.inParts(ctx, key, nil, cut(size, c.maxCopy), copyPart(source))
	} else {
		var out *s3.CopyObjectOutput
		out, err = c.s3.CopyObject(slow(ctx, copying), &s3.CopyObjectInput{Bucket: &c.config.Bucket, Key: &key, CopySource: &source})
		if err == nil && out.CopyObjectResult == nil {
			err = errNotS3
		}
	}
	return c.fail(ctx, err, "copy blob %s from bucket %q", d, from.config.Bucket)
}

// SameServer says whether two clients talk to one server as one account, which is where a copy within the
// server has a chance.
func (c *Client) SameServer(other *Client) bool {
	a, b := c.config, other.config
	return a.EndpointURL == b.EndpointURL && (a.EndpointURL != "" || a.Region == b.Region) &&
		a.AccessKeyID == b.AccessKeyID && a.Access == b.Access
}
