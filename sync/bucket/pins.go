package bucket

import (
	"context"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// pinsPrefix is where pins are, after Prefix: beside what type=s3 keeps, which does not look there.
const pinsPrefix = "layoutfs/pins/"

// pinKey is the object that pins a name. A name's slashes are escaped, so that a server that keeps objects as
// files can hold the pins of both a and a/b.
func (c *Client) pinKey(name string) string {
	return c.config.Prefix + pinsPrefix + url.QueryEscape(name)
}

// PutPin pins a name, whether it is there or not: prune keeps it.
func (c *Client) PutPin(ctx context.Context, name string) error {
	_, err := c.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &c.config.Bucket, Key: aws.String(c.pinKey(name)), Body: strings.NewReader("pinned\n"),
	})
	return c.fail(ctx, err, "pin name %q", name)
}

// DeletePin unpins a name; one that is not pinned is no error.
func (c *Client) DeletePin(ctx context.Context, name string) error {
	_, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &c.config.Bucket, Key: aws.String(c.pinKey(name))})
	if codeOf(err) == "NoSuchKey" {
		return nil
	}
	return c.fail(ctx, err, "unpin name %q", name)
}

// Pins lists the names that are pinned.
func (c *Client) Pins(ctx context.Context) (map[string]bool, error) {
	pins := map[string]bool{}
	prefix := c.config.Prefix + pinsPrefix
	for o, err := range c.list(ctx, prefix) {
		if err != nil {
			return nil, c.fail(ctx, err, "list pins")
		}
		if name, err := url.QueryUnescape(strings.TrimPrefix(*o.Key, prefix)); err == nil && name != "" {
			pins[name] = true
		}
	}
	return pins, nil
}
