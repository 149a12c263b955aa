package bucket

import (
	"context"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/opencontainers/go-digest"
)

// Upload is an upload of a blob in parts that was begun and neither completed nor dropped. It may be under
// way, by anybody.
type Upload struct {
	Digest digest.Digest
	ID     string
	Begun  time.Time
}

// ListUploads lists the unfinished uploads of blobs. It ends after its first error, and without one only when
// everything was listed. A server without such a listing has none.
func (c *Client) ListUploads(ctx context.Context) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		prefix := c.config.Prefix + c.config.BlobsPrefix
		in := &s3.ListMultipartUploadsInput{Bucket: &c.config.Bucket, Prefix: &prefix, EncodingType: types.EncodingTypeUrl}
		for {
			page, err := c.s3.ListMultipartUploads(ctx, in)
			if codeOf(err) == "NotImplemented" {
				return
			}
			if err != nil {
				yield(Upload{}, c.fail(ctx, err, "list unfinished uploads"))
				return
			}
			if !c.uploadsOf(ctx, page, yield) || !aws.ToBool(page.IsTruncated) {
				return
			}
			if aws.ToString(page.NextKeyMarker) == "" || sameMarker(in, page) {
				yield(Upload{}, c.fail(ctx, errEndlessListing, "list unfinished uploads"))
				return
			}
			in.KeyMarker, in.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
		}
	}
}

func sameMarker(in *s3.ListMultipartUploadsInput, page *s3.ListMultipartUploadsOutput) bool {
	return aws.ToString(in.KeyMarker) == aws.ToString(page.NextKeyMarker) &&
		aws.ToString(in.UploadIdMarker) == aws.ToString(page.NextUploadIdMarker)
}

// uploadsOf passes a page on; false when yield said so, or after an error.
func (c *Client) uploadsOf(ctx context.Context, page *s3.ListMultipartUploadsOutput, yield func(Upload, error) bool) bool {
	for _, u := range page.Uploads {
		key, err := decodedKey(u.Key, page.EncodingType)
		if err != nil {
			yield(Upload{}, c.fail(ctx, err, "list unfinished uploads"))
			return false
		}
		d, ok := c.blobOf(*key)
		if !ok {
			continue
		}
		if !yield(Upload{Digest: d, ID: aws.ToString(u.UploadId), Begun: aws.ToTime(u.Initiated).UTC()}, nil) {
			return false
		}
	}
	return true
}

// DropUpload drops the parts of an unfinished upload; one that is not there is no error.
func (c *Client) DropUpload(ctx context.Context, u Upload) error {
	return c.dropUpload(ctx, c.blobKey(u.Digest), u.ID)
}
