package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxNameSize is the most that GetName reads, in bytes. A CacheConfig has some hundred bytes for each
// layer and record; those of large builds have a few megabytes.
const MaxNameSize = 64 << 20

// Version of a name object. Two of them are equal (==) only if the object was not written in between, or
// within the same second with the same body: a listing says the same as a reading.
type Version struct {
	ETag         string    // without quotes
	LastModified time.Time // whole seconds, UTC
	Size         int64     // bytes
}

// NameEntry is one name of a listing.
type NameEntry struct {
	Name    string
	Version Version
}

// Name is a name object.
type Name struct {
	NameEntry
	Body       []byte              // BuildKit's CacheConfig
	Descriptor *ocispec.Descriptor // from the metadata; nil if a type=s3 client wrote it, or it does not parse
}

// GetName reads a name object; bodies above MaxNameSize are an error.
func (c *Client) GetName(ctx context.Context, name string) (Name, error) {
	out, err := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &c.config.Bucket, Key: aws.String(c.nameKey(name))})
	if err != nil {
		return Name{}, c.fail(ctx, err, "read name %q", name)
	}
	defer out.Body.Close()
	body, err := readName(out)
	if err != nil {
		return Name{}, c.fail(ctx, err, "read name %q", name)
	}
	return Name{
		NameEntry:  NameEntry{Name: name, Version: version(out.ETag, out.LastModified, int64(len(body)))},
		Body:       body,
		Descriptor: decodeDescriptor(out.Metadata),
	}, nil
}

func readName(out *s3.GetObjectOutput) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(out.Body, MaxNameSize+1))
	if err != nil {
		return nil, err
	}
	if len(body) > MaxNameSize {
		return nil, fmt.Errorf("the object has more than %d bytes: it is no CacheConfig", MaxNameSize)
	}
	if n := out.ContentLength; n != nil && *n != int64(len(body)) {
		return nil, fmt.Errorf("%w: %d of %d bytes came", io.ErrUnexpectedEOF, len(body), *n)
	}
	return body, nil
}

// PutName writes a name object with the descriptor as metadata (nil: none) and returns its new version.
// The answer to a PUT does not say the new LastModified, so a HEAD follows. If that fails, or shows that
// somebody else has written meanwhile, the version returned has no LastModified: it equals none of a
// listing, and the next one shows the name as changed, which is the safe side.
func (c *Client) PutName(ctx context.Context, name string, body []byte, d *ocispec.Descriptor) (Version, error) {
	if name == "" {
		return Version{}, errors.New("write a name: it is empty")
	}
	metadata, err := c.nameMetadata(name, d)
	if err != nil {
		return Version{}, fmt.Errorf("write name %q: %w", name, err)
	}
	key := c.nameKey(name)
	out, err := c.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &c.config.Bucket, Key: &key, Metadata: metadata, Body: bytes.NewReader(body),
	})
	if err != nil {
		return Version{}, c.fail(ctx, err, "write name %q%s", name, nestedHint(err))
	}
	written := version(out.ETag, nil, int64(len(body)))
	head, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &c.config.Bucket, Key: &key})
	if err != nil {
		c.log.Debug("the version of a name is not known yet", "name", name, "error", describe(err))
		return written, nil
	}
	seen := version(head.ETag, head.LastModified, aws.ToInt64(head.ContentLength))
	if seen.ETag != written.ETag || seen.Size != written.Size || head.Metadata[descriptorKey] != metadata[descriptorKey] {
		return written, nil
	}
	return seen, nil
}

// nestedHint explains what versitygw's codes mean for names.
func nestedHint(err error) string {
	switch codeOf(err) {
	case "ObjectParentIsFile", "ExistingObjectIsDirectory":
		return " (this server keeps objects as files: it cannot hold both the names a and a/b)"
	}
	return ""
}

func (c *Client) nameMetadata(name string, d *ocispec.Descriptor) (map[string]string, error) {
	if d == nil {
		return nil, nil
	}
	value, dropped, err := encodeDescriptor(*d)
	if err != nil {
		return nil, err
	}
	if len(dropped) > 0 {
		c.log.Warn("annotations of the manifest's descriptor do not fit into the metadata of its name",
			"name", name, "dropped", strings.Join(dropped, ", "))
	}
	return map[string]string{descriptorKey: value}, nil
}

// DeleteName deletes a name object; one that is not there is no error, as S3 has it.
func (c *Client) DeleteName(ctx context.Context, name string) error {
	_, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &c.config.Bucket, Key: aws.String(c.nameKey(name))})
	if codeOf(err) == "NoSuchKey" {
		return nil
	}
	return c.fail(ctx, err, "delete name %q", name)
}

// ListNames lists the names that begin with prefix, in no promised order. It ends after its first error.
func (c *Client) ListNames(ctx context.Context, prefix string) iter.Seq2[NameEntry, error] {
	return func(yield func(NameEntry, error) bool) {
		for o, err := range c.list(ctx, c.nameKey(prefix)) {
			if err != nil {
				yield(NameEntry{}, c.fail(ctx, err, "list names that begin with %q", prefix))
				return
			}
			name, ok := c.nameOf(*o.Key)
			if !ok {
				continue
			}
			if !yield(NameEntry{name, version(o.ETag, o.LastModified, aws.ToInt64(o.Size))}, nil) {
				return
			}
		}
	}
}

// version makes readings, listings and writings comparable: some quote the ETag, and only listings have
// fractions of seconds.
func version(etag *string, modified *time.Time, size int64) Version {
	return Version{ETag: strings.Trim(strings.TrimPrefix(aws.ToString(etag), "W/"), `"`), LastModified: seconds(modified), Size: size}
}
