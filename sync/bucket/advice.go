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
	case "PermanentRedirect", "TemporaryRedirect", "Redirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "MovedPermanently":
		return c.adviceOnRegion(err) + said
	case "SlowDown", "ServiceUnavailable", "InternalError":
		return "the server has trouble, not you: try again later" + said
	}
	switch status := statusOf(err); {
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		actions := c.config.Actions()
		return "the credentials are valid but may not list the bucket: allow them " + namesOf(actions, true) + " on the bucket, and " +
			namesOf(actions, false) + " on its objects (to read only, s3:GetObject)" + said
	case status >= 500:
		return "the server has trouble, not you: try again later" + said
	}
	return "the server refuses to list the bucket" + said
}

// where is what else may hold credentials.
const where = "or the environment and the profile that the AWS SDK reads"

// expecting finds the right region where only the text has it.
var expecting = regexp.MustCompile(`expecting ['"]([a-z0-9-]+)['"]`)

// adviceOnRegion is for an answer that sends us elsewhere. The SDK does not follow: the signature is of one
// region.
func (c *Client) adviceOnRegion(err error) string {
	region, address := "", ""
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		region = re.Response.Header.Get("X-Amz-Bucket-Region")
		address = re.Response.Header.Get("Location")
	}
	if m := expecting.FindStringSubmatch(describe(err)); m != nil && region == "" {
		region = m[1]
	}
	switch {
	case region != "" && region != c.config.Region:
		return "the bucket is in region " + region + ", not in " + c.config.Region + ": set region=" + region
	case address != "":
		return "the server sends us to " + redactURL(address) + ": correct region= or endpoint_url="
	}
	return "the bucket is not in region " + c.config.Region + ", or not at this address: correct region= or endpoint_url="
}

// adviceOnSilence is for an error without an answer.
func (c *Client) adviceOnSilence(ctx context.Context, err error) string {
	said := " (" + describe(err) + ")"
	dns, noHost := errors.AsType[*net.DNSError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	_, badCert := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case isOp && op.Op == "proxyconnect":
		return "the proxy of $HTTPS_PROXY or $HTTP_PROXY does not answer: correct it, or name the server in $NO_PROXY" + said
	case noHost && c.config.EndpointURL != "" && !c.config.UsePathStyle:
		return "the name " + dns.Name + " is not found: correct endpoint_url, or set use_path_style=true if the server has no name for each bucket" + said
	case noHost:
		return "the name " + dns.Name + " is not found: correct endpoint_url or region, or check the network" + said
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start the server, or correct endpoint_url" + said
	case badCert:
		return "its TLS certificate is not trusted: name a file with the right authority in ca_bundle or $AWS_CA_BUNDLE, or correct endpoint_url" + said
	case errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS: use http:// in endpoint_url, or the port that does" + said
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "no answer within " + c.checkWithin.String() + ": check endpoint_url, the network, a firewall, a proxy"
	case errors.Is(kindOf(ctx, err), ErrUnreachable):
		return "no answer: check endpoint_url, the network, a firewall, a proxy" + said
	}
	return describe(err)
}
