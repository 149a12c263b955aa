package bucket

import (
	"cmp"
	"context"
	"hash/maphash"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/opencontainers/go-digest"
)

// Options of Open. The zero value is good.
type Options struct {
	// Transport carries the requests; nil: one made for many parallel ranged requests. HeaderTimeout
	// and StallTimeout hold for either, the first two are of the one that is made.
	Transport http.RoundTripper
	Log       *slog.Logger // nil: discarded

	DialTimeout   time.Duration // until a connection stands; 0: 5 s
	TLSTimeout    time.Duration // for its handshake; 0: 10 s
	HeaderTimeout time.Duration // from a request sent to the answer's first byte; 0: 20 s
	StallTimeout  time.Duration // without a byte of a body, either way; 0: 20 s

	// PartSize is what a larger blob is cut into, in bytes; less than 5 MiB is refused by S3. 0: blobs above
	// 32 MiB are cut into parts of 16 MiB. Up to there it is worth more that one request is not hashed again
	// (but see PutAhead).
	PartSize int64
	// PageSize is how many objects a listing asks for at once, at most; 0: as many as the server gives.
	PageSize int32

	walkEvery time.Duration // how often the credentials' chain is walked anew at most; 0: walkEvery
}

// Client talks to one bucket. It is safe for concurrent use, and has nothing to close.
type Client struct {
	s3      *s3.Client
	config  Config
	log     *slog.Logger
	uploads chan struct{} // a token for each request that carries a blob's bytes up
	part    int64         // bytes
	single  int64         // the largest blob that goes up in one request
	maxCopy int64         // bytes that one CopyObject takes: 5 GiB, less in tests
	page    int32         // objects; 0: the server's choice
	journal Journal       // of uploads in parts; nil: none is kept
	left    *unfinished   // what the journal knew of before
	aheads  *aheads
	busy    *atomic.Int64 // when a large blob last went up, in nanoseconds of Unix time
	seed    maphash.Seed  // of the sums of parts

	checkWithin time.Duration // how long a person waits for Check at most; less in tests
}

// partsPerBlob is how many parts of one blob are on their way at once if no other blob is, about as the
// SDK's transfer manager, which type=s3 uses, has it (5).
const partsPerBlob = 4

// Open makes a client. It does no I/O but loading the SDK's configuration files.
func Open(ctx context.Context, c Config, o Options) (*Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With(slog.Any("bucket", c))
	cfg, err := loadSDK(ctx, c, o, log)
	if err != nil {
		return nil, err
	}
	return &Client{
		s3:      s3.NewFromConfig(cfg, c.apply, c.addHeaders, c.credentials(cfg, o, log), o.apply(cfg.HTTPClient, c.Limits), waitAsAsked),
		config:  c,
		log:     log,
		uploads: make(chan struct{}, c.UploadParallelism*partsPerBlob),
		part:    cmp.Or(o.PartSize, 16<<20),
		single:  cmp.Or(o.PartSize, 32<<20),
		maxCopy: maxCopySize,
		page:    o.PageSize,
		busy:    &atomic.Int64{},
		aheads:  &aheads{by: map[digest.Digest]*ahead{}},
		left:    &unfinished{by: map[string]string{}},
		seed:    maphash.MakeSeed(),

		checkWithin: 10 * time.Second,
	}, nil
}

// Config is what the client was opened with.
func (c *Client) Config() Config { return c.config }

// acquire takes one of the client's upload tokens.
func (c *Client) acquire(ctx context.Context) error {
	select {
	case c.uploads <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Client) release() { <-c.uploads }
