package bucket

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// MinIO keeps the object a/b where there is an object a, and gives it to who asks for it, but no listing shows
// it. So that other mounts learn of such a name, a signpost stands for it: an empty object whose name has no
// slashes. No name's own object is empty, and clients of type=s3, which list nothing, do not see it.
var (
	toSignpost   = strings.NewReplacer("%", "%25", "/", "%2F")
	fromSignpost = strings.NewReplacer("%25", "%", "%2F", "/")
)

// asksHidden bounds the names behind signposts that are asked for at once.
const asksHidden = 16

// signpostOf is the name that a listed object stands for; false if it is no signpost.
func (c *Client) signpostOf(o types.Object) (string, bool) {
	name, ok := c.nameOf(*o.Key)
	if !ok || aws.ToInt64(o.Size) > 0 || !strings.Contains(name, "%2F") {
		return "", false
	}
	return fromSignpost.Replace(name), true
}

// EnsureListed makes sure that a name which is there is listed. It is one request unless the server hides it.
func (c *Client) EnsureListed(ctx context.Context, name string) error {
	key := c.nameKey(name)
	for o, err := range c.list(ctx, key) {
		if err != nil {
			return c.fail(ctx, err, "look for name %q in a listing", name)
		}
		if *o.Key == key {
			return nil
		}
	}
	signpost := c.nameKey(toSignpost.Replace(name))
	_, err := c.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &c.config.Bucket, Key: &signpost, Body: strings.NewReader("")})
	return c.fail(ctx, err, "write a signpost to name %q, which the server does not list", name)
}

// PutListedName is PutName for a name that may be beneath another, and is to be listed.
func (c *Client) PutListedName(ctx context.Context, name string, body []byte, d *ocispec.Descriptor) error {
	if err := c.PutName(ctx, name, body, d); err != nil || !strings.Contains(name, "/") {
		return err
	}
	return c.EnsureListed(ctx, name)
}

// removeSignpost removes the signpost of a name, if there can be one.
func (c *Client) removeSignpost(ctx context.Context, name string) error {
	if !strings.Contains(name, "/") {
		return nil
	}
	return c.deleteName(ctx, toSignpost.Replace(name))
}

// hidden are the names behind signposts, as far as they are there: those that a listing of prefix came by, and
// those that it does not, because a signpost does not begin like a name that begins with a/b.
func (c *Client) hidden(ctx context.Context, prefix string, names []string) ([]NameEntry, error) {
	if signpost := toSignpost.Replace(prefix); signpost != prefix {
		for o, err := range c.list(ctx, c.nameKey(signpost)) {
			if err != nil {
				return nil, c.fail(ctx, err, "list signposts to names that begin with %q", prefix)
			}
			if name, ok := c.signpostOf(o); ok {
				names = append(names, name)
			}
		}
	}
	entries := make([]NameEntry, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(asksHidden)
	for i, name := range names {
		g.Go(func() (err error) {
			entries[i], err = c.headName(ctx, name)
			return err
		})
	}
	err := g.Wait()
	return slices.DeleteFunc(entries, func(e NameEntry) bool { return e.Name == "" }), err
}

// headName asks for the version of a name; of one that is not there the entry is empty.
func (c *Client) headName(ctx context.Context, name string) (NameEntry, error) {
	out, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &c.config.Bucket, Key: aws.String(c.nameKey(name))})
	if err = c.fail(ctx, err, "head name %q", name); errors.Is(err, fs.ErrNotExist) {
		return NameEntry{}, nil
	}
	if err != nil {
		return NameEntry{}, err
	}
	return NameEntry{name, version(out.ETag, out.LastModified, aws.ToInt64(out.ContentLength))}, nil
}
