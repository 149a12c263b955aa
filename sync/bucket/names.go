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
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxNameSize is the most that GetName reads, in bytes. A CacheConfig has some hundred bytes for each
// layer and record; those of large builds have a few megabytes, and of 10,000 layers about seven.
const MaxNameSize = 16 << 20

// ErrLargeName says that a name object has more bytes than its reader wants.
var ErrLargeName = errors.New("the object is too large")

// Version of a name object. Two of them are equal (==) only if the object was not written in between: a
// listing says the same as a reading. A version without LastModified is not known, and equals none of a
// listing.
type Version struct {
	ETag         string    // without quotes
	LastModified time.Time // whole seconds, UTC
	Size         int64     // bytes
}

// settling is how old an object must be before its LastModified, which has whole seconds, says which of
// several writings it is of: two of the same body with other metadata differ in nothing else.
const settling = 2 * time.Second

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

// GetName reads a name object; bodies above MaxNameSize are ErrLargeName. The version of an object that was
// written within the last 2 s is not known: it may be written again and look the same.
func (c *Client) GetName(ctx context.Context, name string) (Name, error) {
	return c.GetNameUpTo(ctx, name, MaxNameSize)
}

// GetNameUpTo is GetName for bodies of up to limit bytes, for callers that read several at once. How large one is, is
// known when it is asked for, and not from a listing, which may lie.
func (c *Client) GetNameUpTo(ctx context.Context, name string, limit int64) (Name, error) {
	out, err := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &c.config.Bucket, Key: aws.String(c.nameKey(name))})
	if err != nil {
		return Name{}, c.fail(ctx, err, "read name %q", name)
	}
	defer out.Body.Close()
	body, err := readName(out, limit)
	if err != nil {
		return Name{}, c.fail(ctx, err, "read name %q", name)
	}
	v := version(out.ETag, out.LastModified, int64(len(body)))
	if now, ok := awsmiddleware.GetServerTime(out.ResultMetadata); !ok || now.Sub(v.LastModified) < settling {
		v.LastModified = time.Time{}
	}
	return Name{NameEntry: NameEntry{Name: name, Version: v}, Body: body, Descriptor: decodeDescriptor(out.Metadata)}, nil
}

// readName reads a body whole, into no more memory than it takes: of one that is too large nothing is read.
func readName(out *s3.GetObjectOutput, limit int64) ([]byte, error) {
	size := int64(bytes.MinRead)
	if n := out.ContentLength; n != nil {
		size = *n
	}
	if size > limit {
		return nil, largeName(limit)
	}
	body := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead)) // with room to see its end
	if _, err := body.ReadFrom(io.LimitReader(out.Body, limit+1)); err != nil {
		return nil, err
	}
	if int64(body.Len()) > limit {
		return nil, largeName(limit)
	}
	if n := out.ContentLength; n != nil && *n != int64(body.Len()) {
		return nil, fmt.Errorf("%w: %d of %d bytes came", io.ErrUnexpectedEOF, body.Len(), *n)
	}
	return body.Bytes(), nil
}

func largeName(limit int64) error {
	return fmt.Errorf("%w: it has more than %d bytes", ErrLargeName, limit)
}

// PutName writes a name object with the descriptor as metadata (nil: none). It is one request, and its
// answer does not say the object's LastModified: whoever wants to know the version reads the name.
func (c *Client) PutName(ctx context.Context, name string, body []byte, d *ocispec.Descriptor) error {
	if name == "" {
		return errors.New("write a name: it is empty")
	}
	metadata, err := c.nameMetadata(name, d)
	if err != nil {
		return fmt.Errorf("write name %q: %w", name, err)
	}
	_, err = c.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &c.config.Bucket, Key: aws.String(c.nameKey(name)), Metadata: metadata, Body: bytes.NewReader(body),
	})
	return c.fail(ctx, err, "write name %q%s", name, nestedHint(err))
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
	if err := c.deleteName(ctx, name); err != nil {
		return err
	}
	return c.removeSignpost(ctx, name)
}

func (c *Client) deleteName(ctx context.Context, name string) error {
	_, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &c.config.Bucket, Key: aws.String(c.nameKey(name))})
	if codeOf(err) == "NoSuchKey" {
		return nil
	}
	return c.fail(ctx, err, "delete name %q", name)
}

// ListNames lists the names that begin with prefix, in no promised order and possibly twice. It ends after
// its first error, and without one only when everything was listed.
func (c *Client) ListNames(ctx context.Context, prefix string) iter.Seq2[NameEntry, error] {
	return func(yield func(NameEntry, error) bool) {
		var hidden []string
		for o, err := range c.list(ctx, c.nameKey(prefix)) {
			if err != nil {
				yield(NameEntry{}, c.fail(ctx, err, "list names that begin with %q", prefix))
				return
			}
			if name, ok := c.signpostOf(o); ok {
				hidden = append(hidden, name)
				continue
			}
			name, ok := c.nameOf(*o.Key)
			if ok && !yield(NameEntry{name, version(o.ETag, o.LastModified, aws.ToInt64(o.Size))}, nil) {
				return
			}
		}
		entries, err := c.hidden(ctx, prefix, hidden)
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(NameEntry{}, err)
		}
	}
}

// version makes readings, listings and writings comparable: some quote the ETag, and only listings have
// fractions of seconds.
func version(etag *string, modified *time.Time, size int64) Version {
	return Version{ETag: strings.Trim(strings.TrimPrefix(aws.ToString(etag), "W/"), `"`), LastModified: seconds(modified), Size: size}
}
