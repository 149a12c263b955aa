package bucket

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// errNotS3 says that something answers which is not S3.
var errNotS3 = errors.New("the answer is not that of S3")

// Check makes sure that the bucket is there and lets us list, with an error made for the person at the
// terminal: what was tried, against which endpoint, what it says, what to do. It takes at most 10 s.
func (c *Client) Check(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, c.checkWithin)
	defer cancel()
	err := c.checkList(limited)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // the caller's own, which needs no advice
		return c.fail(ctx, ctx.Err(), "check")
	}
	failed := c.fail(limited, err, "list objects")
	return &advisedError{text: fmt.Sprintf("bucket %q at %s: %s", c.config.Bucket, c.endpoint(), c.advice(limited, err)), err: failed}
}

// checkList asks for one key. A listing has an error text in its body where a HEAD has none. Names are listed, since
// some servers go through all keys with a prefix for that, and blobs may be a million.
func (c *Client) checkList(ctx context.Context) error {
	out, err := c.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &c.config.Bucket, Prefix: aws.String(c.nameKey("")), MaxKeys: aws.Int32(1),
	})
	if err != nil {
		return err
	}
	if out.Name == nil { // as for every listing, with what the answer is in its place
		return fmt.Errorf("%w (its type is %q)", errNotS3, contentType(out.ResultMetadata))
	}
	return nil
}

func contentType(metadata middleware.Metadata) string {
	if r, ok := awsmiddleware.GetRawResponse(metadata).(*smithyhttp.Response); ok {
		return r.Header.Get("Content-Type")
	}
	return ""
}

// advisedError is an error with advice in the place of its text.
type advisedError struct {
	text string
	err  error
}

func (e *advisedError) Error() string { return e.text }
func (e *advisedError) Unwrap() error { return e.err }

// advice says what err means and what to do.
func (c *Client) advice(ctx context.Context, err error) string {
	switch {
	case credentialsMissing(err):
		return "no AWS credentials found: give access_key_id and secret_access_key, set $AWS_ACCESS_KEY_ID and " +
			"$AWS_SECRET_ACCESS_KEY, choose a profile with profile or $AWS_PROFILE, give the machine a role, or set no_sign_request=true for a public bucket (" + describe(err) + ")"
	case isOfCredentials(err):
		return "the service that gives the credentials does not answer: check it, the network, or what the AWS SDK's configuration says of it (" + describe(err) + ")"
	case isNotS3(err):
		return "something answers there, but not as S3 does: endpoint_url must be that of the S3 API, not of a console or a website (" + describe(err) + ")"
	case statusOf(err) != 0:
		return c.adviceOnAnswer(err)
	}
	return c.adviceOnSilence(ctx, err)
}

// isNotS3 tells a page for a browser, and other answers that the SDK can make nothing of.
func isNotS3(err error) bool {
	if errors.Is(err, errNotS3) {
		return true
	}
	re, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if status := statusOf(err); !ok || status == 0 || status >= 500 {
		return false
	}
	h := re.Response.Header
	// S3 says who it is where it sends a client elsewhere; who sends a browser has a Location alone.
	elsewhere := h.Get("Location") != "" && h.Get("X-Amz-Bucket-Region") == "" && h.Get("X-Amz-Request-Id") == ""
	return codeOf(err) == "" || elsewhere || strings.Contains(h.Get("Content-Type"), "text/html")
}
