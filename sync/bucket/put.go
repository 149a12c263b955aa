package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	"github.com/opencontainers/go-digest"
)

// PutBlob uploads the size bytes of r. A blob larger than Options.PartSize goes up in parts, several at a
// time and no more of them than one client may have on their way; nothing is left behind on failure.
// Reading needs no buffer, whatever the size. What PutAhead has sent is not sent again. In a single request the
// digest itself is what the payload is signed with, so the server refuses other bytes and they are not hashed a
// second time.
func (c *Client) PutBlob(ctx context.Context, d digest.Digest, r io.ReaderAt, size int64) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("upload blob %q: %w", d, err)
	}
	r = localReader{r}
	if size > c.part {
		c.busy.Store(time.Now().UnixNano())
		defer func() { c.busy.Store(time.Now().UnixNano()) }()
	}
	var err error
	switch b, ok := c.aheads.take(ctx, d, size); {
	case ok:
		c.log.Debug("parts of a blob went up while it was written", "blob", d, "parts", b.count(), "of", len(b.parts))
		err = b.finish(ctx, r)
	case size <= c.single:
		err = c.putSingle(ctx, d, r, size)
	default:
		err = c.inParts(ctx, c.blobKey(d), nil, cut(size, c.part), putPart(r))
	}
	return c.fail(ctx, err, "upload blob %s of %d bytes", d, size)
}

func (c *Client) putSingle(ctx context.Context, d digest.Digest, r io.ReaderAt, size int64) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	in := &s3.PutObjectInput{
		Bucket:        &c.config.Bucket,
		Key:           aws.String(c.blobKey(d)),
		Body:          io.NewSectionReader(r, 0, size),
		ContentLength: &size,
	}
	if d.Algorithm() == digest.SHA256 {
		_, err := c.s3.PutObject(ctx, in, signedWith(d.Encoded()))
		return err
	}
	_, err := c.s3.PutObject(ctx, in, unsignedOverTLS)
	return err
}

// signedWith gives the payload's hash, in hex, to the signer, which then does not compute it.
func signedWith(hash string) func(*s3.Options) {
	return s3.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("KnownPayloadHash",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
				middleware.InitializeOutput, middleware.Metadata, error,
			) {
				return next.HandleInitialize(v4.SetPayloadHash(ctx, hash), in)
			}), middleware.Before)
	})
}

// unsignedOverTLS leaves the payload out of the signature where TLS keeps it whole, and has it hashed
// where nothing else would.
func unsignedOverTLS(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, v4.UseDynamicPayloadSigningMiddleware)
}

// localReader marks the errors of the reader that a blob comes from.
type localReader struct{ io.ReaderAt }

func (l localReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := l.ReaderAt.ReadAt(p, off)
	switch {
	case err == nil, errors.Is(err, io.EOF) && n == len(p):
		return n, nil
	case errors.Is(err, io.EOF): // a SectionReader ends before r does, unless r is shorter than it was said to be
		err = fmt.Errorf("%w: %d bytes at %d", io.ErrUnexpectedEOF, len(p)-n, off)
	}
	return n, localError{err}
}

// cleanup is how long undoing may take after the caller's context is gone.
const cleanup = 10 * time.Second

// undoing is a context for undoing what a request whose context may be over has begun.
func undoing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanup)
}
