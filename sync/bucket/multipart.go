package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

// Limits of S3, https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html.
const (
	maxParts    = 10_000
	maxCopySize = 5 << 30 // bytes, of CopyObject and UploadPartCopy
)

// completing is how long a server may take to put the parts together.
const completing = 5 * time.Minute

// part is a range of an object.
type part struct {
	number   int32
	off, len int64
}

func (p part) end() int64 { return p.off + p.len }

// cut divides size bytes into equal parts but for the last, as R2 wants it, of at least low bytes and no
// more of them than S3 takes.
func cut(size, low int64) []part {
	const mib = 1 << 20
	step := low
	if size > low*maxParts {
		step = (size/maxParts/mib + 1) * mib
	}
	var parts []part
	for off := int64(0); off < size; off += step {
		parts = append(parts, part{number: int32(len(parts) + 1), off: off, len: min(step, size-off)})
	}
	return parts
}

// multipart is an upload in parts under way.
type multipart struct {
	c   *Client
	key string
	id  *string
}

// sendPart is one request for one part.
type sendPart func(ctx context.Context, m *multipart, p part) (etag *string, err error)

// putPart sends parts of r.
func putPart(r io.ReaderAt) sendPart {
	return func(ctx context.Context, m *multipart, p part) (*string, error) {
		return m.put(ctx, p, io.NewSectionReader(r, p.off, p.len))
	}
}

func (m *multipart) put(ctx context.Context, p part, body io.ReadSeeker) (etag *string, err error) {
	out, err := m.c.s3.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &m.c.config.Bucket, Key: &m.key, UploadId: m.id, PartNumber: &p.number,
		Body: body, ContentLength: &p.len,
	}, unsignedOverTLS)
	if err != nil {
		return nil, err
	}
	return out.ETag, nil
}

// inParts makes the object key of parts, or leaves nothing behind.
func (c *Client) inParts(ctx context.Context, key string, metadata map[string]string, parts []part, send sendPart) error {
	m, err := c.begin(ctx, key, metadata)
	if err != nil {
		return err
	}
	return m.finish(ctx, parts, send)
}

// begin begins an upload in parts, which must end with finish or drop.
func (c *Client) begin(ctx context.Context, key string, metadata map[string]string) (*multipart, error) {
	out, err := c.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &c.config.Bucket, Key: &key, Metadata: metadata,
	})
	if err != nil {
		return nil, fmt.Errorf("begin an upload in parts: %w", err)
	}
	m := &multipart{c: c, key: key, id: out.UploadId}
	if err := c.noted(Journal.BeginUpload, key, *m.id); err != nil {
		return nil, m.drop(ctx, err)
	}
	return m, nil
}

// finish sends the parts and puts them together, or leaves nothing behind.
func (m *multipart) finish(ctx context.Context, parts []part, send sendPart) error {
	done, err := m.sendAll(ctx, parts, send)
	if err == nil {
		err = m.complete(ctx, done, parts)
	}
	if err != nil {
		return m.drop(ctx, err)
	}
	return m.c.noted(Journal.EndUpload, m.key, *m.id)
}

// drop has the server forget the parts, because of err.
func (m *multipart) drop(ctx context.Context, err error) error {
	if !m.abort(ctx) {
		return err // the journal keeps it, for the next process to drop
	}
	return errors.Join(err, m.c.noted(Journal.EndUpload, m.key, *m.id))
}

// sendAll sends the parts, as many at once as the client has tokens for; the first failure stops the rest.
func (m *multipart) sendAll(ctx context.Context, parts []part, send sendPart) ([]types.CompletedPart, error) {
	done := make([]types.CompletedPart, len(parts))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(cap(m.c.uploads))
	for i, p := range parts {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error {
			return m.inTurn(groupCtx, p, func() error {
				etag, err := send(groupCtx, m, p)
				done[i] = types.CompletedPart{ETag: etag, PartNumber: &p.number}
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return done, context.Cause(ctx)
}

// inTurn makes the request for a part when the client has a token for it.
func (m *multipart) inTurn(ctx context.Context, p part, send func() error) error {
	if err := m.c.acquire(ctx); err != nil {
		return err
	}
	defer m.c.release()
	if err := send(); err != nil {
		return fmt.Errorf("part %d, bytes %d to %d: %w", p.number, p.off, p.end()-1, err)
	}
	return nil
}

// complete puts the parts together. An attempt whose answer was lost may have done it: the next one then
// finds the upload gone, and the object there.
func (m *multipart) complete(ctx context.Context, done []types.CompletedPart, parts []part) error {
	_, err := m.c.s3.CompleteMultipartUpload(slow(ctx, completing), &s3.CompleteMultipartUploadInput{
		Bucket: &m.c.config.Bucket, Key: &m.key, UploadId: m.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
	})
	if codeOf(err) == "NoSuchUpload" {
		last := parts[len(parts)-1]
		head, headErr := m.c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &m.c.config.Bucket, Key: &m.key})
		if headErr == nil && aws.ToInt64(head.ContentLength) == last.end() {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("complete %d parts: %w", len(parts), err)
	}
	return nil
}

// abort lets the server drop the parts, and says whether it did. It is tried even if the caller has given up.
func (m *multipart) abort(ctx context.Context) bool {
	ctx, cancel := undoing(ctx)
	defer cancel()
	err := m.c.dropUpload(ctx, m.key, *m.id)
	if err != nil {
		m.c.log.Warn("parts of a failed upload are left in the bucket for now", "key", m.key, "error", err)
	}
	return err == nil
}
