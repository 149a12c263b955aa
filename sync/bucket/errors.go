package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// ErrUnreachable is wrapped by errors that say that no answer came from the endpoint (refused, timed
// out, name not found, connection lost), as opposed to an answer that is an error. Not-found errors
// wrap fs.ErrNotExist.
var ErrUnreachable = errors.New("bucket does not answer")

// ErrBusy is wrapped by errors that say that the server cannot answer now: it asks for patience, or a proxy
// before it says that it is away (502, 503, 504).
var ErrBusy = errors.New("bucket is busy")

// ErrDenied is wrapped by errors that say that the bucket, or who hands out credentials, refuses it. It is not
// fs.ErrPermission: of a file in a mount it would say that its client lacks a permission.
var ErrDenied = errors.New("denied")

// opError is a request that failed.
type opError struct {
	what  string // "head blob sha256:… in bucket \"b\" at http://…"
	kind  error  // one of ErrUnreachable, ErrBusy, fs.ErrNotExist, ErrDenied, or nil
	cause error
	needs string // actions that the credentials may lack, if the server did not say; or empty
}

func (e *opError) Error() string {
	text := describe(e.cause)
	if errors.Is(e.kind, ErrUnreachable) {
		text = ErrUnreachable.Error() + ": " + text
	}
	if e.needs != "" {
		text += "; the credentials need " + e.needs
	}
	return e.what + ": " + text
}

func (e *opError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.cause}
	}
	return []error{e.kind, e.cause}
}

// fail wraps err with what was attempted and says of which kind it is. A nil err stays nil.
func (c *Client) fail(ctx context.Context, err error, what string, args ...any) error {
	if err == nil {
		return nil
	}
	return &opError{
		what:  fmt.Sprintf(what, args...) + fmt.Sprintf(" in bucket %q at %s", c.config.Bucket, c.endpoint()),
		kind:  kindOf(ctx, err),
		cause: err,
		needs: c.config.needs(err),
	}
}

// endpoint is where requests go, for people.
func (c *Client) endpoint() string {
	if base := c.s3.Options().BaseEndpoint; base != nil {
		return redactURL(*base)
	}
	return "AWS " + c.config.Region
}

// kindOf sorts an error of the SDK.
func kindOf(ctx context.Context, err error) error {
	if isOfCredentials(err) { // whatever its service answered: a 404 is none of a blob
		return kindOfCredentials(ctx, err)
	}
	switch code := codeOf(err); code {
	case "NoSuchKey", "NotFound":
		return fs.ErrNotExist
	case "NoSuchBucket":
		return nil // a bucket that is gone must not read as a blob that is gone
	}
	switch status := statusOf(err); {
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return ErrDenied
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return ErrBusy
	case status != 0, errors.Is(ctx.Err(), context.Canceled), isLocal(err):
		return nil
	case lost(err):
		return ErrUnreachable
	}
	return nil
}

// lost says whether an error without an answer came from the network.
func lost(err error) bool {
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return true
	}
	_, ok := errors.AsType[net.Error](err)
	return ok || errors.Is(err, io.ErrUnexpectedEOF)
}

// statusOf is the HTTP status of the answer, 0 if none came.
func statusOf(err error) int {
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return re.HTTPStatusCode()
	}
	return 0
}

// codeOf is S3's code for the error, empty if there is none.
func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// localError is a failure of the disk that a blob is read from. The SDK cannot tell it from a failure of
// the network and would try again.
type localError struct{ error }

func (e localError) Unwrap() error      { return e.error }
func (localError) RetryableError() bool { return false }

func isLocal(err error) bool {
	_, ok := errors.AsType[localError](err)
	return ok
}

// describe leaves out of the SDK's text what repeats ours.
func describe(err error) string {
	if creds, ok := errors.AsType[*credentialsError](err); ok {
		return creds.Error()
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		text := api.ErrorCode()
		if m := api.ErrorMessage(); m != "" && m != text {
			text += ": " + m
		}
		return fmt.Sprintf("%s (status %d)", text, statusOf(err))
	}
	if send, ok := errors.AsType[*url.Error](err); ok {
		return send.Err.Error()
	}
	if send, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return send.Err.Error()
	}
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		return op.Err.Error()
	}
	return err.Error()
}
