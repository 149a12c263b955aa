package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/opencontainers/go-digest"
)

// errWrongBody says that the server sent other bytes than those that were asked for.
var errWrongBody = errors.New("the server sent another range than was asked for")

// OpenBlob is one ranged GET of n bytes from off; n < 0 means to the end. Reading stalls for at most a
// bounded time, and ends with io.EOF only after all n bytes: a body that is cut short, or an object that
// has fewer bytes, is an error that wraps io.ErrUnexpectedEOF.
func (c *Client) OpenBlob(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, fmt.Errorf("read blob %s from %d: the offset is negative", d, off)
	}
	if n == 0 {
		return http.NoBody, nil // a range of no bytes cannot be asked for
	}
	what := fmt.Sprintf("read blob %s, %s,", d, rangeText(off, n))
	in := &s3.GetObjectInput{Bucket: &c.config.Bucket, Key: aws.String(c.blobKey(d)), Range: rangeHeader(off, n)}
	out, err := c.s3.GetObject(ctx, in)
	if codeOf(err) == "InvalidRange" {
		err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	if err != nil {
		return nil, c.fail(ctx, err, "%s", what)
	}
	want, err := bodyLength(out, off, n)
	if err != nil {
		_ = out.Body.Close()
		return nil, c.fail(ctx, err, "%s", what)
	}
	return &exactBody{
		body: out.Body,
		left: want,
		fail: func(err error) error { return c.fail(ctx, err, "%s", what) },
	}, nil
}

func rangeHeader(off, n int64) *string {
	switch {
	case n >= 0:
		return aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	case off > 0:
		return aws.String(fmt.Sprintf("bytes=%d-", off))
	}
	return nil
}

func rangeText(off, n int64) string {
	if n < 0 {
		return fmt.Sprintf("bytes from %d", off)
	}
	return fmt.Sprintf("bytes %d to %d", off, off+n-1)
}

// bodyLength is how many bytes the answer must have, and makes sure that they are those that were asked
// for: a server or a proxy may pass over Range and send everything.
func bodyLength(out *s3.GetObjectOutput, off, n int64) (int64, error) {
	length := aws.ToInt64(out.ContentLength)
	if out.ContentLength == nil {
		length = n
	}
	start := int64(0)
	if out.ContentRange != nil {
		var err error
		if start, err = rangeStart(*out.ContentRange); err != nil {
			return 0, err
		}
	}
	switch {
	case start != off:
		return 0, fmt.Errorf("%w: it begins at %d", errWrongBody, start)
	case n >= 0 && length < n:
		return 0, fmt.Errorf("%w: the object has only %d of %d bytes there", io.ErrUnexpectedEOF, length, n)
	case n >= 0 && length > n:
		return 0, fmt.Errorf("%w: it has %d bytes, not %d", errWrongBody, length, n)
	case length < 0:
		return 0, fmt.Errorf("%w: its length is not said", errWrongBody)
	}
	return length, nil
}

// rangeStart is the first byte of "bytes 0-9/10".
func rangeStart(header string) (int64, error) {
	span, _, _ := strings.Cut(strings.TrimPrefix(header, "bytes "), "-")
	start, err := strconv.ParseInt(span, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: Content-Range %q", errWrongBody, header)
	}
	return start, nil
}

// exactBody gives exactly as many bytes as were asked for, or an error.
type exactBody struct {
	body io.ReadCloser
	left int64
	fail func(error) error
}

func (b *exactBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.body.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, nil // what an error would say is of no interest: all bytes are here
	case err == io.EOF:
		return n, b.fail(fmt.Errorf("%w: %d bytes are missing", io.ErrUnexpectedEOF, b.left))
	case err != nil:
		return n, b.fail(err)
	}
	return n, nil
}

func (b *exactBody) Close() error { return b.body.Close() }
