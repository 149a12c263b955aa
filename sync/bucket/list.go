package bucket

import (
	"context"
	"fmt"
	"iter"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// ListBlobs lists the blobs; keys that are no digest are passed over. It ends after its first error.
func (c *Client) ListBlobs(ctx context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for o, err := range c.list(ctx, c.config.Prefix+c.config.BlobsPrefix) {
			if err != nil {
				yield(Object{}, c.fail(ctx, err, "list blobs"))
				return
			}
			d, ok := c.blobOf(*o.Key)
			if !ok {
				continue
			}
			if !yield(Object{Digest: d, Size: aws.ToInt64(o.Size), LastModified: seconds(o.LastModified)}, nil) {
				return
			}
		}
	}
}

// list goes through the objects whose keys begin with prefix, page by page. Keys are asked for in URL
// encoding, because XML cannot hold all of them.
func (c *Client) list(ctx context.Context, prefix string) iter.Seq2[types.Object, error] {
	return func(yield func(types.Object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(c.s3, &s3.ListObjectsV2Input{
			Bucket: &c.config.Bucket, Prefix: &prefix, EncodingType: types.EncodingTypeUrl,
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(types.Object{}, err)
				return
			}
			for _, o := range page.Contents {
				if o.Key, err = decodedKey(o.Key, page.EncodingType); !yield(o, err) || err != nil {
					return
				}
			}
		}
	}
}

// decodedKey undoes the encoding of a listing, if the server did encode.
func decodedKey(key *string, encoding types.EncodingType) (*string, error) {
	if encoding != types.EncodingTypeUrl {
		return aws.String(aws.ToString(key)), nil
	}
	s, err := url.QueryUnescape(aws.ToString(key))
	if err != nil {
		return nil, fmt.Errorf("the server lists a key that is not URL-encoded: %w", err)
	}
	return &s, nil
}
