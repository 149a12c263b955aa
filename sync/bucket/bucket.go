// Package bucket is the S3 client: BuildKit's type=s3 layout of keys, ranges, multipart, touch.
package bucket

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var errStub = errors.New("not built yet")

// ErrUnreachable is wrapped by errors that say that no answer came from the endpoint (refused, timed
// out, name not found, connection lost), as opposed to an answer that is an error. Not-found errors
// wrap fs.ErrNotExist, denied ones fs.ErrPermission.
var ErrUnreachable = errors.New("bucket does not answer")

// Config is a bucket and how to reach it: the parameters of BuildKit's type=s3.
type Config struct {
	Bucket, Region                             string
	Prefix, BlobsPrefix, ManifestsPrefix       string
	Names                                      []string // name=a;b
	EndpointURL                                string
	UsePathStyle                               bool
	AccessKeyID, SecretAccessKey, SessionToken string
	TouchRefresh                               time.Duration
	UploadParallelism                          int
	RetryMode                                  string
	RetryMaxAttempts                           int
	DisableAcceptEncoding                      bool
	Mode                                       string // min or max: printed, not used
	IgnoreError                                bool   // printed
}

// Parse reads the CSV of --cache-to type=s3,... (the leading type=s3 is optional). An unknown key or
// a value that does not parse is an error that names it. env looks up AWS_BUCKET and AWS_REGION.
func Parse(csv string, env func(string) (string, bool)) (Config, error) { return Config{}, errStub }

// Options of Open.
type Options struct {
	Transport http.RoundTripper // nil: one made for many parallel ranged requests
	Log       *slog.Logger
}

// Client talks to one bucket.
type Client struct{}

// Open makes a client. It does no I/O but loading the SDK's configuration files.
func Open(ctx context.Context, c Config, o Options) (*Client, error) { return nil, errStub }

// Check makes sure that the bucket is there and lets us list, with an error made for the person at the
// terminal: what was tried, against which endpoint, what it says, what to do.
func (c *Client) Check(ctx context.Context) error { return errStub }

// Object is a blob in the bucket.
type Object struct {
	Digest       digest.Digest
	Size         int64
	LastModified time.Time
}

// StatBlob is one HEAD.
func (c *Client) StatBlob(ctx context.Context, d digest.Digest) (Object, error) {
	return Object{}, errStub
}

// OpenBlob is one ranged GET of n bytes from off; n < 0 means to the end. Reading stalls for at most
// a bounded time.
func (c *Client) OpenBlob(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	return nil, errStub
}

// PutBlob uploads; multipart above a threshold, in parallel; nothing is left behind on failure.
func (c *Client) PutBlob(ctx context.Context, d digest.Digest, r io.ReaderAt, size int64) error {
	return errStub
}

// TouchBlob renews LastModified by copying the blob onto itself, as type=s3 does.
func (c *Client) TouchBlob(ctx context.Context, d digest.Digest, size int64) error { return errStub }

// ListBlobs lists the blobs; keys that are no digest are passed over.
func (c *Client) ListBlobs(ctx context.Context) iter.Seq2[Object, error] { return nil }

// Version of a name object.
type Version struct {
	ETag         string
	LastModified time.Time
	Size         int64
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
func (c *Client) GetName(ctx context.Context, name string) (Name, error) { return Name{}, errStub }

// PutName writes a name object with the descriptor as metadata (nil: none) and returns its new version.
func (c *Client) PutName(ctx context.Context, name string, body []byte, d *ocispec.Descriptor) (Version, error) {
	return Version{}, errStub
}

// DeleteName deletes a name object.
func (c *Client) DeleteName(ctx context.Context, name string) error { return errStub }

// ListNames lists the names that begin with prefix, in no promised order.
func (c *Client) ListNames(ctx context.Context, prefix string) iter.Seq2[NameEntry, error] {
	return nil
}
