package bucket

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/opencontainers/go-digest"
)

// copying is how long a server may take to copy within itself, for the largest copy.
const copying = 5 * time.Minute

// slack is how much older LastModified may be than the copy took: it has whole seconds.
const slack = 2 * time.Second

// TouchBlob renews LastModified by copying the blob onto itself, as type=s3 does; size is its size in
// bytes, of which S3 copies 5 GiB in one request. A blob that is gone is an error that wraps
// fs.ErrNotExist.
func (c *Client) TouchBlob(ctx context.Context, d digest.Digest, size int64) error {
	err := c.touch(ctx, d, size)
	return c.fail(ctx, err, "touch blob %s", d)
}

func (c *Client) touch(ctx context.Context, d digest.Digest, size int64) error {
	// S3 refuses a copy onto itself that changes nothing: the metadata is what changes.
	metadata := map[string]string{"updated-at": time.Now().String()}
	key := c.blobKey(d)
	source := c.copySource(key)
	if size > c.maxCopy {
		return c.inParts(ctx, key, metadata, cut(size, c.maxCopy), copyPart(source))
	}
	began := time.Now()
	out, err := c.s3.CopyObject(slow(ctx, copying), &s3.CopyObjectInput{
		Bucket: &c.config.Bucket, Key: &key, CopySource: &source,
		Metadata: metadata, MetadataDirective: types.MetadataDirectiveReplace,
	})
	switch {
	case err != nil || isRenewed(out, time.Since(began)):
		return err
	case size == 0:
		return c.putSingle(ctx, d, bytes.NewReader(nil), 0)
	}
	// versitygw changes the metadata alone. An upload whose only part is the object makes it new.
	return c.inParts(ctx, key, metadata, cut(size, size), copyPart(source))
}

// isRenewed says whether LastModified is of the copy, which took took. It compares two times of the server,
// so that this machine's clock does not matter.
func isRenewed(out *s3.CopyObjectOutput, took time.Duration) bool {
	now, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	if !ok || out.CopyObjectResult == nil || out.CopyObjectResult.LastModified == nil {
		return true
	}
	return now.Sub(*out.CopyObjectResult.LastModified) <= took+slack
}

func copyPart(source string) sendPart {
	return func(ctx context.Context, m *multipart, p part) (*string, error) {
		out, err := m.c.s3.UploadPartCopy(slow(ctx, copying), &s3.UploadPartCopyInput{
			Bucket: &m.c.config.Bucket, Key: &m.key, UploadId: m.id, PartNumber: &p.number,
			CopySource:      &source,
			CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", p.off, p.off+p.len-1)),
		})
		if err != nil {
			return nil, err
		}
		return out.CopyPartResult.ETag, nil
	}
}
