package bucket

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/opencontainers/go-digest"
)

// DeleteBlob deletes a blob; one that is not there is no error, as S3 has it. It is for what prune throws
// away, and what verify found to be damaged: whoever else deletes a blob breaks the names that reach it.
func (c *Client) DeleteBlob(ctx context.Context, d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return c.fail(ctx, err, "delete blob %q", d)
	}
	_, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &c.config.Bucket, Key: aws.String(c.blobKey(d))})
	if codeOf(err) == "NoSuchKey" {
		return nil
	}
	return c.fail(ctx, err, "delete blob %s", d)
}
