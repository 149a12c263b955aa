package bucket

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config is a bucket and how to reach it: the parameters of BuildKit's type=s3. Begin with Default, or
// Parse: the zero value has empty prefixes, which are another bucket layout than BuildKit's default.
type Config struct {
	Bucket, Region                             string
	Prefix, BlobsPrefix, ManifestsPrefix       string
	Names                                      []string // name=a;b: published to all, read from the first
	EndpointURL                                string   // empty: AWS, or what the SDK's configuration says
	UsePathStyle                               bool     // as in type=s3 it counts only beside EndpointURL
	AccessKeyID, SecretAccessKey, SessionToken string   // empty: the SDK's credential chain
	TouchRefresh                               time.Duration
	UploadParallelism                          int    // blobs on their way up at once
	RetryMode                                  string // standard, adaptive, or empty: what the SDK's configuration says
	RetryMaxAttempts                           int    // 0: what the SDK's configuration says
	DisableAcceptEncoding                      bool   // for GCS, which rewrites a header that is signed
	Mode                                       string // min or max: printed, not used
	IgnoreError                                bool   // printed
}

// Default is what type=s3 assumes of everything that is not given.
func Default() Config {
	return Config{
		BlobsPrefix:       "blobs/",
		ManifestsPrefix:   "manifests/",
		Names:             []string{"buildkit"},
		TouchRefresh:      24 * time.Hour,
		UploadParallelism: 4,
		Mode:              "min",
	}
}

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
		oneOf("mode", c.Mode, "", "min", "max"),
		atLeast("upload_parallelism", c.UploadParallelism, 1),
		atLeast("retry_max_attempts", c.RetryMaxAttempts, 0),
		atLeast("touch_refresh", c.TouchRefresh, 0),
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

func atLeast[T int | time.Duration](key string, value, low T) error {
	if value < low {
		return fmt.Errorf("%s=%v: must be at least %v", key, value, low)
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
	}
	return nil
}

func (c Config) validateEndpoint() error {
	if c.EndpointURL == "" {
		return nil
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

// String is c for people, without its secrets.
func (c Config) String() string {
	s := "s3://" + c.Bucket + "/" + c.Prefix
	if c.EndpointURL != "" {
		s += " at " + redactURL(c.EndpointURL)
	}
	return s + " (region " + c.Region + ")"
}

// GoString keeps %#v from printing secrets.
func (c Config) GoString() string { return "bucket.Config{" + c.String() + "}" }

// LogValue is c for logs, without its secrets.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("bucket", c.Bucket),
		slog.String("region", c.Region),
		slog.String("prefix", c.Prefix),
		slog.String("blobs_prefix", c.BlobsPrefix),
		slog.String("manifests_prefix", c.ManifestsPrefix),
		slog.String("name", strings.Join(c.Names, ";")),
		slog.String("endpoint_url", redactURL(c.EndpointURL)),
		slog.Bool("use_path_style", c.UsePathStyle),
		slog.Bool("static_credentials", c.AccessKeyID != ""),
	)
}

// redactURL hides a password in an address that somebody put there.
func redactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(no URL)"
	}
	return u.Redacted()
}
