package bucket

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// ListBlobs lists the blobs, in no promised order and possibly twice; keys that are no digest are passed
// over. It ends after its first error, and without one only when everything was listed.
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

// errEndlessListing says that a listing cannot be gone through, which must not pass for its end: what it
// does not show would be taken for gone.
var errEndlessListing = errors.New("the server says that there is more to list, but not how to ask for it")

// list goes through the objects whose keys begin with prefix, page by page, in whatever order the server
// gives them and as often. Keys are asked for in URL encoding, because XML cannot hold all of them.
func (c *Client) list(ctx context.Context, prefix string) iter.Seq2[types.Object, error] {
	return func(yield func(types.Object, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &c.config.Bucket, Prefix: &prefix, EncodingType: types.EncodingTypeUrl}
		if c.page > 0 {
			in.MaxKeys = &c.page
		}
		for more := true; more; {
			page, err := c.s3.ListObjectsV2(ctx, in)
			if err == nil {
				more, err = next(in, page)
			}
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

// next makes in ask for the page after page; false if that is the last.
func next(in *s3.ListObjectsV2Input, page *s3.ListObjectsV2Output) (more bool, err error) {
	if page.Name == nil {
		return false, errNotS3 // any XML, and much HTML, reads as an empty listing
	}
	if !aws.ToBool(page.IsTruncated) {
		return false, nil
	}
	token := aws.ToString(page.NextContinuationToken)
	if token == "" || token == aws.ToString(in.ContinuationToken) {
		return false, errEndlessListing
	}
	in.ContinuationToken = &token
	return true, nil
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
