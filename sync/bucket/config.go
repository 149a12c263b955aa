package bucket

import (
	"log/slog"
	"net/url"
	"strings"
	"time"
)

// Config is a bucket and how to reach it: the parameters of BuildKit's type=s3, and in groups of their own
// what type=s3 has no parameters for. Begin with Default, or Parse: the zero value has empty prefixes,
// which are another bucket layout than BuildKit's default.
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

	Export  Export
	Access  Access
	Storage Storage
	Network Network
	Limits  Limits
}

// Export is what concerns the builder, not the bucket: it is printed for --cache-to type=local, not used.
type Export struct {
	Mode             string // min or max
	IgnoreError      bool
	Compression      string // uncompressed, gzip, estargz, zstd, or empty: BuildKit's default
	CompressionLevel string // an integer, or empty
	ForceCompression bool
}

// Fields are e as KEY=VALUE of a CSV, without what is the default.
func (e Export) Fields() []string {
	var fields []string
	add := func(given bool, key, value string) {
		if given {
			fields = append(fields, key+"="+value)
		}
	}
	add(e.Mode != "", "mode", e.Mode)
	add(e.IgnoreError, "ignore-error", "true")
	add(e.Compression != "", "compression", e.Compression)
	add(e.CompressionLevel != "", "compression-level", e.CompressionLevel)
	add(e.ForceCompression, "force-compression", "true")
	return fields
}

// Access is as whom requests are made, besides static keys.
type Access struct {
	Profile             string // of the SDK's configuration files; empty: $AWS_PROFILE
	NoSignRequest       bool   // no credentials at all, for a public bucket
	RequestPayer        string // requester, or empty; on every request
	ExpectedBucketOwner string // the account that the bucket must belong to, or empty; on every request
}

// Storage is how objects are kept; it goes with every request that makes one. Empty: as the bucket has it.
type Storage struct {
	SSE         string // server-side encryption: AES256, aws:kms or aws:kms:dsse
	SSEKMSKeyID string // the key of aws:kms; empty: the account's default
	Class       string // STANDARD, STANDARD_IA, INTELLIGENT_TIERING, ... or what the server has
	ACL         string // a canned one, such as bucket-owner-full-control
}

// Network is the way to the server. Proxies come from $HTTPS_PROXY, $HTTP_PROXY and $NO_PROXY.
type Network struct {
	CABundle   string // a file with the authorities to trust, PEM, absolute; empty: $AWS_CA_BUNDLE, or the system's
	Dualstack  bool   // IPv6 too; only with AWS
	Accelerate bool   // S3 Transfer Acceleration; only with AWS
}

// Limits are of all requests of a client together; 0: none.
type Limits struct {
	Upload, Download int64 // bytes of bodies per second
	Requests         int   // per second
}

// Default is what type=s3 assumes of everything that is not given.
func Default() Config {
	return Config{
		BlobsPrefix:       "blobs/",
		ManifestsPrefix:   "manifests/",
		Names:             []string{"buildkit"},
		TouchRefresh:      24 * time.Hour,
		UploadParallelism: 4,
		Export:            Export{Mode: "min"},
	}
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
		slog.String("credentials", c.credentialsFrom()),
	)
}

// credentialsFrom says where the credentials come from, without them.
func (c Config) credentialsFrom() string {
	switch {
	case c.Access.NoSignRequest:
		return "none"
	case c.AccessKeyID != "":
		return "access_key_id"
	case c.Access.Profile != "":
		return "profile " + c.Access.Profile
	}
	return "AWS SDK"
}

// redactURL hides a password in an address that somebody put there.
func redactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(no URL)"
	}
	return u.Redacted()
}
