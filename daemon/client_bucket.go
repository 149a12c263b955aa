package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// Bucket is the bucket of a mount, asked through its daemon, which has the keys. It has the methods of
// bucket.Client that commands need. Errors for what is not there wrap fs.ErrNotExist; of other kinds only the
// text comes over.
type Bucket struct{ c *Client }

// Bucket is the bucket of the mount.
func (c *Client) Bucket() *Bucket { return &Bucket{c} }

// ListNames lists the names that begin with prefix.
func (b *Bucket) ListNames(ctx context.Context, prefix string) iter.Seq2[bucket.NameEntry, error] {
	return call[bucket.NameEntry](ctx, b.c, bucketRequest{Op: opListNames, Name: prefix})
}

// GetName reads a name object.
func (b *Bucket) GetName(ctx context.Context, name string) (bucket.Name, error) {
	return first(call[bucket.Name](ctx, b.c, bucketRequest{Op: opGetName, Name: name}))
}

// ListBlobs lists the blobs.
func (b *Bucket) ListBlobs(ctx context.Context) iter.Seq2[bucket.Object, error] {
	return call[bucket.Object](ctx, b.c, bucketRequest{Op: opListBlobs})
}

// StatBlob looks for a blob.
func (b *Bucket) StatBlob(ctx context.Context, d digest.Digest) (bucket.Object, error) {
	return first(call[bucket.Object](ctx, b.c, bucketRequest{Op: opStatBlob, Digest: d}))
}

// ListUploads lists unfinished uploads.
func (b *Bucket) ListUploads(ctx context.Context) iter.Seq2[bucket.Upload, error] {
	return call[bucket.Upload](ctx, b.c, bucketRequest{Op: opListUploads})
}

// Pins lists the names that are pinned.
func (b *Bucket) Pins(ctx context.Context) (map[string]bool, error) {
	return first(call[map[string]bool](ctx, b.c, bucketRequest{Op: opPins}))
}

// PutListedName writes a name object.
func (b *Bucket) PutListedName(ctx context.Context, name string, body []byte, d *ocispec.Descriptor) error {
	return b.change(ctx, bucketRequest{Op: opPutName, Name: name, Body: body, Descriptor: d})
}

// DeleteName deletes a name object.
func (b *Bucket) DeleteName(ctx context.Context, name string) error {
	return b.change(ctx, bucketRequest{Op: opDeleteName, Name: name})
}

// DeleteBlob deletes a blob.
func (b *Bucket) DeleteBlob(ctx context.Context, d digest.Digest) error {
	return b.change(ctx, bucketRequest{Op: opDeleteBlob, Digest: d})
}

// TouchBlob renews a blob's LastModified.
func (b *Bucket) TouchBlob(ctx context.Context, d digest.Digest, size int64) error {
	return b.change(ctx, bucketRequest{Op: opTouchBlob, Digest: d, Size: size})
}

// UploadLocal writes the mount's local copy of a blob to the bucket, over whatever is there.
func (b *Bucket) UploadLocal(ctx context.Context, d digest.Digest) error {
	return b.change(ctx, bucketRequest{Op: opUploadBlob, Digest: d})
}

// DropUpload drops an unfinished upload.
func (b *Bucket) DropUpload(ctx context.Context, u bucket.Upload) error {
	return b.change(ctx, bucketRequest{Op: opDropUpload, Upload: &u})
}

// PutPin pins a name.
func (b *Bucket) PutPin(ctx context.Context, name string) error {
	return b.change(ctx, bucketRequest{Op: opPutPin, Name: name})
}

// DeletePin unpins a name.
func (b *Bucket) DeletePin(ctx context.Context, name string) error {
	return b.change(ctx, bucketRequest{Op: opDeletePin, Name: name})
}

// Warm brings a blob to the mount's local disk, verified.
func (c *Client) Warm(ctx context.Context, d digest.Digest) error {
	return c.Bucket().change(ctx, bucketRequest{Op: opWarm, Digest: d})
}

// DropLocal drops the mount's local copy of a blob, unless it is not in the bucket yet.
func (c *Client) DropLocal(ctx context.Context, d digest.Digest) error {
	return c.Bucket().change(ctx, bucketRequest{Op: opDropLocal, Digest: d})
}

func (b *Bucket) change(ctx context.Context, in bucketRequest) error {
	_, err := first(call[struct{}](ctx, b.c, in))
	return err
}

// call makes a call and lists what comes of it.
func call[T any](ctx context.Context, c *Client, in bucketRequest) iter.Seq2[T, error] {
	body, err := json.Marshal(in)
	if err != nil {
		return one(*new(T), err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://layoutfs"+bucketPath, bytes.NewReader(body))
	if err != nil {
		return one(*new(T), err)
	}
	return replies[T](c, r)
}

// first is the only element of a list.
func first[T any](list iter.Seq2[T, error]) (T, error) {
	for v, err := range list {
		return v, err
	}
	return *new(T), errors.New("ask the daemon: it says nothing")
}

// OpenBlob reads n bytes of a blob from off on, as the bucket has them; n < 0 means to its end.
func (b *Bucket) OpenBlob(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	q := url.Values{"digest": {d.String()}, "off": {strconv.FormatInt(off, 10)}, "n": {strconv.FormatInt(n, 10)}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://layoutfs"+bucketBlobPath+"?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	res, err := b.c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return &wholeBody{res}, nil
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxMessage))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	said := strings.TrimSpace(string(text))
	switch res.StatusCode {
	case http.StatusNotFound:
		return nil, &absentError{said}
	case http.StatusRequestedRangeNotSatisfiable:
		return nil, fmt.Errorf("the daemon says: %s: %w", said, io.ErrUnexpectedEOF)
	}
	return nil, fmt.Errorf("the daemon says: %s", said)
}

// wholeBody turns the trailer of a body that broke off into an error.
type wholeBody struct{ res *http.Response }

func (b *wholeBody) Read(p []byte) (int, error) {
	n, err := b.res.Body.Read(p)
	if errors.Is(err, io.EOF) {
		if end := b.res.Trailer.Get(bodyEnd); end != bodyWhole {
			return n, fmt.Errorf("%w: the daemon says: %s", io.ErrUnexpectedEOF, end)
		}
	}
	return n, err
}

func (b *wholeBody) Close() error { return b.res.Body.Close() }
