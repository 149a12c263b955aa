package bucket

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/sync/singleflight"
)

// credentials chooses what requests are signed with: nothing, the static key, or the SDK's chain as loaded
// says it.
func (c Config) credentials(loaded aws.Config, o Options, log *slog.Logger) func(*s3.Options) {
	return func(so *s3.Options) {
		switch {
		case c.Access.NoSignRequest:
			so.Credentials = aws.AnonymousCredentials{}
		case c.AccessKeyID != "":
			so.Credentials = credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
		default:
			newChain(loaded, c, o, log).apply(so)
		}
	}
}

// walkEvery is how often the chain is walked anew at most.
const walkEvery = 10 * time.Second

// chain is the SDK's chain of credential providers. Its providers renew what they know the expiry of. What
// stands in a file or the environment has none: if the server says that it is over, the chain is walked
// anew, as type=s3 does for each build, and the request is tried again.
type chain struct {
	load   func(ctx context.Context) (aws.Config, error)
	log    *slog.Logger
	every  time.Duration // walkEvery, less in tests
	flight singleflight.Group

	current atomic.Pointer[walked]
}

// walked is the outcome of one walk.
type walked struct {
	provider aws.CredentialsProvider
	at       time.Time
}

func newChain(loaded aws.Config, c Config, o Options, log *slog.Logger) *chain {
	ch := &chain{
		load:  func(ctx context.Context) (aws.Config, error) { return loadSDK(ctx, c, o, log) },
		log:   log,
		every: cmp.Or(o.walkEvery, walkEvery),
	}
	ch.current.Store(&walked{provider: loaded.Credentials, at: time.Now()})
	return ch
}

// apply makes requests use c, and c see how they fare, one try at a time.
func (c *chain) apply(o *s3.Options) {
	o.Credentials = c
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(c, "Retry", middleware.After)
	})
}

// Retrieve implements aws.CredentialsProvider.
func (c *chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := c.current.Load().provider.Retrieve(ctx)
	if err != nil {
		return creds, &credentialsError{err}
	}
	return creds, nil
}

// ID implements middleware.FinalizeMiddleware.
func (*chain) ID() string { return "WalkCredentialsChain" }

// HandleFinalize implements middleware.FinalizeMiddleware.
func (c *chain) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	used := c.current.Load()
	out, metadata, err := next.HandleFinalize(ctx, in)
	if err != nil && isOver(ctx, err) && c.renew(ctx, used) {
		err = &renewedError{err}
	}
	return out, metadata, err
}

// isOver says whether the server may have refused the credentials themselves. The answer to a HEAD has no
// body that would say so.
func isOver(ctx context.Context, err error) bool {
	switch codeOf(err) {
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId":
		return true
	}
	switch statusOf(err) {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return middleware.GetOperationName(ctx) == "HeadObject"
	}
	return false
}

// renew walks the chain anew, unless that was done since used, or just now. It says whether there is
// something else to try now.
func (c *chain) renew(ctx context.Context, used *walked) bool {
	renewed, _, _ := c.flight.Do("", func() (any, error) {
		switch now := c.current.Load(); {
		case now != used:
			return true, nil
		case time.Since(now.at) < c.every:
			return false, nil
		}
		fresh := &walked{provider: used.provider, at: time.Now()}
		loaded, err := c.load(context.WithoutCancel(ctx))
		if err != nil {
			c.log.Warn("the credentials are over, and there are no others", "error", err)
		} else {
			fresh.provider = loaded.Credentials
		}
		c.current.Store(fresh)
		return err == nil, nil
	})
	return renewed.(bool)
}

// renewedError is a refusal that may not come again.
type renewedError struct{ error }

func (e *renewedError) Unwrap() error      { return e.error }
func (*renewedError) RetryableError() bool { return true }

// credentialsError says that there was nothing to sign a request with.
type credentialsError struct{ error }

func (e *credentialsError) Unwrap() error      { return e.error }
func (*credentialsError) RetryableError() bool { return false } // providers try again themselves

func isOfCredentials(err error) bool {
	_, ok := errors.AsType[*credentialsError](err)
	return ok
}

func kindOfCredentials(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil
	case credentialsMissing(err):
		return ErrDenied
	}
	return ErrUnreachable
}

// credentialsMissing says whether err is for want of credentials, as opposed to a service for them that
// does not answer, or not soon enough. The instance's metadata service is the last of the chain: on a machine that is no
// instance its silence means that there are none.
func credentialsMissing(err error) bool {
	creds, ok := errors.AsType[*credentialsError](err)
	if _, late := errors.AsType[*aws.RequestCanceledError](err); !ok || late {
		return false
	}
	op, ok := errors.AsType[*smithy.OperationError](creds.error)
	return !lost(creds.error) || (ok && op.Service() == "ec2imds")
}
