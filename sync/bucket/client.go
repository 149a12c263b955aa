package bucket

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
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

	// PartSize is what a larger blob is cut into, and the largest that goes up in one request, in
	// bytes; 0: 16 MiB, less than 5 MiB is refused by S3.
	PartSize int64
}

// Client talks to one bucket. It is safe for concurrent use, and has nothing to close.
type Client struct {
	s3      *s3.Client
	config  Config
	log     *slog.Logger
	uploads chan struct{} // a token for each request that carries a blob's bytes up
	part    int64         // bytes
	maxCopy int64         // bytes that one CopyObject takes: 5 GiB, less in tests

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
	cfg, err := awsconfig.LoadDefaultConfig(ctx,
		awsconfig.WithLogger(sdkLog{log}),
		awsconfig.WithRegion(c.Region),
		awsconfig.WithHTTPClient(httpClient(o)),
		awsconfig.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		awsconfig.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	)
	if err != nil {
		return nil, fmt.Errorf("load the configuration of the AWS SDK: %w", err)
	}
	part := o.PartSize
	if part == 0 {
		part = 16 << 20
	}
	return &Client{
		s3:      s3.NewFromConfig(cfg, c.apply, markCredentials, o.apply(cfg.HTTPClient)),
		config:  c,
		log:     log,
		uploads: make(chan struct{}, c.UploadParallelism*partsPerBlob),
		part:    part,
		maxCopy: maxCopySize,

		checkWithin: 10 * time.Second,
	}, nil
}

// apply is what type=s3 makes of its parameters.
func (c Config) apply(o *s3.Options) {
	if c.AccessKeyID != "" {
		o.Credentials = credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
	}
	if c.EndpointURL != "" {
		o.UsePathStyle = c.UsePathStyle
		o.BaseEndpoint = aws.String(c.EndpointURL)
	}
	if c.RetryMode != "" {
		o.RetryMode = aws.RetryMode(c.RetryMode)
	}
	if c.RetryMaxAttempts > 0 {
		o.RetryMaxAttempts = c.RetryMaxAttempts
	}
	if c.DisableAcceptEncoding {
		// Google's front end changes Accept-Encoding after it was signed: keep it out of the signature.
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			_, err := stack.Finalize.Remove("DisableAcceptEncodingGzip")
			return err
		})
	}
}

// apply puts the transport and the deadlines in the place of built, which the SDK has by now given what
// its own configuration says (a CA bundle).
func (o Options) apply(built aws.HTTPClient) func(*s3.Options) {
	return func(so *s3.Options) {
		rt := o.Transport
		if b, ok := built.(interface{ GetTransport() *http.Transport }); ok && rt == nil {
			rt = b.GetTransport()
		}
		so.HTTPClient = guarded(rt, o)
	}
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

// sdkLog is where the SDK writes what it else writes to standard error.
type sdkLog struct{ log *slog.Logger }

// Logf implements logging.Logger.
func (l sdkLog) Logf(level logging.Classification, format string, args ...any) {
	to := l.log.Debug
	if level == logging.Warn {
		to = l.log.Warn
	}
	to("AWS SDK", "says", fmt.Sprintf(format, args...))
}
