package bucket

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate reports everything that is wrong with c at once, each by the name of its parameter. Parse
// and Open call it.
func (c Config) Validate() error {
	return errors.Join(
		required("bucket", c.Bucket, envBucket),
		required("region", c.Region, envRegion),
		c.validateCredentials(),
		c.validateEndpoint(),
		c.validateNames(),
		oneOf("retry_mode", c.RetryMode, "", "standard", "adaptive"),
		atLeast("upload_parallelism", c.UploadParallelism, 1),
		atLeast("retry_max_attempts", c.RetryMaxAttempts, 0),
		atLeast("touch_refresh", c.TouchRefresh, 0),
		oneOf("mode", c.Export.Mode, "", "min", "max"),
		oneOf("compression", c.Export.Compression, "", "uncompressed", "gzip", "estargz", "zstd"),
		integer("compression-level", c.Export.CompressionLevel),
		oneOf("request_payer", c.Access.RequestPayer, "", "requester"),
		c.Storage.validate(),
		c.Limits.validate(),
	)
}

func required(key, value, env string) error {
	if value == "" {
		return fmt.Errorf("%s is missing: give --%[1]s, or %[1]s=... in --s3, or set $%[2]s", key, env)
	}
	return nil
}

func oneOf(key, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s=%s: must be %s", key, value, strings.Join(allowed[1:], " or "))
}

func atLeast[T int | int64 | time.Duration](key string, value, low T) error {
	if value < low {
		return fmt.Errorf("%s=%v: must be at least %v", key, value, low)
	}
	return nil
}

func integer(key, value string) error {
	if _, err := strconv.Atoi(value); err != nil && value != "" {
		return fmt.Errorf("%s=%s: must be an integer", key, value)
	}
	return nil
}

func (c Config) validateCredentials() error {
	switch {
	case c.AccessKeyID != "" && c.SecretAccessKey == "":
		return errors.New("access_key_id is given without secret_access_key")
	case c.AccessKeyID == "" && c.SecretAccessKey != "":
		return errors.New("secret_access_key is given without access_key_id")
	case c.AccessKeyID == "" && c.SessionToken != "":
		return errors.New("session_token is given without access_key_id and secret_access_key")
	case c.AccessKeyID != "" && c.Access.NoSignRequest:
		return errors.New("no_sign_request and access_key_id exclude each other")
	}
	return nil
}

func (c Config) validateEndpoint() error {
	switch aws := c.Network.Dualstack || c.Network.Accelerate; {
	case c.EndpointURL == "":
		return nil
	case aws:
		return errors.New("dualstack and accelerate are endpoints of AWS: leave out endpoint_url with them")
	}
	u, err := url.Parse(c.EndpointURL)
	if err != nil {
		// url.Error repeats the text, and a password may stand in it.
		return errors.New("endpoint_url is no URL")
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return fmt.Errorf("endpoint_url=%s: must be http://HOST[:PORT] or https://HOST[:PORT]", u.Redacted())
	}
	return nil
}

func (c Config) validateNames() error {
	if len(c.Names) == 0 || slices.Contains(c.Names, "") {
		return fmt.Errorf("name=%s: a name is empty", strings.Join(c.Names, ";"))
	}
	return nil
}

func (s Storage) validate() error {
	var key, class error
	if s.SSEKMSKeyID != "" && !strings.HasPrefix(s.SSE, "aws:kms") {
		key = errors.New("sse_kms_key_id is given without sse=aws:kms")
	}
	switch s.Class {
	case "GLACIER", "DEEP_ARCHIVE":
		class = fmt.Errorf("storage_class=%s: what is in it cannot be read until it is restored; GLACIER_IR can", s.Class)
	}
	return errors.Join(key, class, oneOf("sse", s.SSE, "", "AES256", "aws:kms", "aws:kms:dsse"))
}

func (l Limits) validate() error {
	return errors.Join(
		atLeast("upload_limit", l.Upload, 0),
		atLeast("download_limit", l.Download, 0),
		atLeast("request_limit", l.Requests, 0),
	)
}
