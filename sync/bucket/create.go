package bucket

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// CreateBucket makes the bucket; one that we have already is no error. It is for the embedded server and
// for tests: the bucket of a mount is never made on the way.
func (c *Client) CreateBucket(ctx context.Context) error {
	in := &s3.CreateBucketInput{Bucket: &c.config.Bucket}
	if c.config.Region != "us-east-1" { // which must not be named
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(c.config.Region),
		}
	}
	_, err := c.s3.CreateBucket(ctx, in)
	if codeOf(err) == "BucketAlreadyOwnedByYou" {
		return nil
	}
	return c.fail(ctx, err, "create the bucket")
}
