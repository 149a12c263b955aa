package bucket

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"regexp"
	"syscall"

	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// adviceOnAnswer is for an error that the server sent; the codes are those of
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, which other servers use too.
func (c *Client) adviceOnAnswer(err error) string {
	said := " (" + describe(err) + ")"
	switch codeOf(err) {
	case "NoSuchBucket":
		return "there is no such bucket: create it, or correct bucket=" + said
	case "InvalidBucketName":
		return "this is no name for a bucket: correct bucket=" + said
	case "InvalidAccessKeyId", "XAdminUserNotFound": // the latter is versitygw's
		return "the access key is not known there: check access_key_id, " + where + said
	case "SignatureDoesNotMatch":
		return "the secret does not fit the access key: check secret_access_key, " + where + said
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired":
		return "the session has expired: log in again, or renew session_token, " + where + said
	case "InvalidToken", "InvalidTokenId":
		return "the session token does not fit the access key: check session_token, " + where + said
	case "RequestTimeTooSkewed":
		return "the clocks of this machine and of the server differ too much: set this machine's clock" + said
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "MovedPermanently":
		return c.adviceOnRegion(err) + said
	case "SlowDown", "ServiceUnavailable", "InternalError":
		return "the server has trouble, not you: try again later" + said
	}
	switch status := statusOf(err); {
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return "the credentials are valid but may not list the bucket: allow them s3:ListBucket on the bucket, and " +
			"s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects" + said
	case status >= 500:
		return "the server has trouble, not you: try again later" + said
	}
	return "the server refuses to list the bucket" + said
}

// where is what else may hold credentials.
const where = "or the environment and the profile that the AWS SDK reads"

// expecting finds the right region where only the text has it.
var expecting = regexp.MustCompile(`expecting ['"]([a-z0-9-]+)['"]`)

func (c *Client) adviceOnRegion(err error) string {
	region := ""
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		region = re.Response.Header.Get("X-Amz-Bucket-Region")
	}
	if m := expecting.FindStringSubmatch(describe(err)); m != nil && region == "" {
		region = m[1]
	}
	if region == "" {
		return "the bucket is not in region " + c.config.Region + ": correct region="
	}
	return "the bucket is in region " + region + ", not in " + c.config.Region + ": set region=" + region
}

// adviceOnSilence is for an error without an answer.
func (c *Client) adviceOnSilence(ctx context.Context, err error) string {
	said := " (" + describe(err) + ")"
	dns, noHost := errors.AsType[*net.DNSError](err)
	_, badCert := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case noHost && c.config.EndpointURL != "" && !c.config.UsePathStyle:
		return "the name " + dns.Name + " is not found: correct endpoint_url, or set use_path_style=true if the server has no name for each bucket" + said
	case noHost:
		return "the name " + dns.Name + " is not found: correct endpoint_url or region, or check the network" + said
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start the server, or correct endpoint_url" + said
	case badCert:
		return "its TLS certificate is not trusted: name the right authority in $AWS_CA_BUNDLE, or correct endpoint_url" + said
	case errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS: use http:// in endpoint_url, or the port that does" + said
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "no answer within " + c.checkWithin.String() + ": check endpoint_url, the network, a firewall, a proxy"
	case kindOf(ctx, err) == ErrUnreachable:
		return "no answer: check endpoint_url, the network, a firewall, a proxy" + said
	}
	return describe(err)
}
