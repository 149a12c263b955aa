package bucket

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/opencontainers/go-digest"
)

// copying is how long a server may take to copy within itself, for the largest copy.
const copying = 5 * time.Minute

// TouchBlob renews LastModified by copying the blob onto itself, as type=s3 does; size is its size in
// bytes, of which S3 copies 5 GiB in one request. A blob that is gone is an error that wraps
// fs.ErrNotExist.
func (c *Client) TouchBlob(ctx context.Context, d digest.Digest, size int64) error {
	key := c.blobKey(d)
	source := c.copySource(key)
	// S3 refuses a copy onto itself that changes nothing: the metadata is what changes.
	metadata := map[string]string{"updated-at": time.Now().String()}
	var err error
	if size <= c.maxCopy {
		_, err = c.s3.CopyObject(slow(ctx, copying), &s3.CopyObjectInput{
			Bucket: &c.config.Bucket, Key: &key, CopySource: &source,
			Metadata: metadata, MetadataDirective: types.MetadataDirectiveReplace,
		})
	} else {
		err = c.inParts(ctx, key, metadata, cut(size, c.maxCopy), copyPart(source))
	}
	return c.fail(ctx, err, "touch blob %s", d)
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
