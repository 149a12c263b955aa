package bucket

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/opencontainers/go-digest"
)

// Object is a blob in the bucket.
type Object struct {
	Digest       digest.Digest
	Size         int64     // bytes
	LastModified time.Time // whole seconds
}

// StatBlob is one HEAD.
func (c *Client) StatBlob(ctx context.Context, d digest.Digest) (Object, error) {
	out, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &c.config.Bucket, Key: aws.String(c.blobKey(d))})
	if err != nil {
		return Object{}, c.fail(ctx, err, "head blob %s", d)
	}
	return Object{Digest: d, Size: aws.ToInt64(out.ContentLength), LastModified: seconds(out.LastModified)}, nil
}

// seconds brings the times of listings, which have fractions, to what headers say.
func seconds(t *time.Time) time.Time {
	return aws.ToTime(t).UTC().Truncate(time.Second)
}
