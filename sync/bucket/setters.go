package bucket

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// setter puts the value of one key into c.
type setter func(c *Config, key, value string) error

// setters are the keys of the CSV. The table is never written.
var setters = map[string]setter{
	// What type=s3 has.
	"type":                    func(_ *Config, key, v string) error { return oneOf(key, v, "", "s3") },
	"bucket":                  text(func(c *Config) *string { return &c.Bucket }),
	"region":                  text(func(c *Config) *string { return &c.Region }),
	"prefix":                  text(func(c *Config) *string { return &c.Prefix }),
	"blobs_prefix":            text(func(c *Config) *string { return &c.BlobsPrefix }),
	"manifests_prefix":        text(func(c *Config) *string { return &c.ManifestsPrefix }),
	"name":                    func(c *Config, _, v string) error { c.Names = strings.Split(v, ";"); return nil },
	"endpoint_url":            text(func(c *Config) *string { return &c.EndpointURL }),
	"use_path_style":          boolean(func(c *Config) *bool { return &c.UsePathStyle }),
	"access_key_id":           text(func(c *Config) *string { return &c.AccessKeyID }),
	"secret_access_key":       text(func(c *Config) *string { return &c.SecretAccessKey }),
	"session_token":           text(func(c *Config) *string { return &c.SessionToken }),
	"touch_refresh":           duration(func(c *Config) *time.Duration { return &c.TouchRefresh }),
	"upload_parallelism":      positive(func(c *Config) *int { return &c.UploadParallelism }),
	"retry_mode":              choice(func(c *Config) *string { return &c.RetryMode }, "standard", "adaptive"),
	"retry_max_attempts":      positive(func(c *Config) *int { return &c.RetryMaxAttempts }),
	"disable_accept_encoding": boolean(func(c *Config) *bool { return &c.DisableAcceptEncoding }),
	"mode":                    text(func(c *Config) *string { return &c.Export.Mode }),
	"ignore-error":            boolean(func(c *Config) *bool { return &c.Export.IgnoreError }),
	"compression":             choice(func(c *Config) *string { return &c.Export.Compression }, "uncompressed", "gzip", "estargz", "zstd"),
	"compression-level":       whole(func(c *Config) *string { return &c.Export.CompressionLevel }),
	"force-compression":       flag(func(c *Config) *bool { return &c.Export.ForceCompression }),

	// What it has not, by the names of the AWS CLI where that has one.
	"profile":               text(func(c *Config) *string { return &c.Access.Profile }),
	"no_sign_request":       boolean(func(c *Config) *bool { return &c.Access.NoSignRequest }),
	"request_payer":         choice(func(c *Config) *string { return &c.Access.RequestPayer }, "requester"),
	"expected_bucket_owner": text(func(c *Config) *string { return &c.Access.ExpectedBucketOwner }),
	"sse":                   choice(func(c *Config) *string { return &c.Storage.SSE }, "AES256", "aws:kms", "aws:kms:dsse"),
	"sse_kms_key_id":        text(func(c *Config) *string { return &c.Storage.SSEKMSKeyID }),
	"storage_class":         text(func(c *Config) *string { return &c.Storage.Class }),
	"acl":                   text(func(c *Config) *string { return &c.Storage.ACL }),
	"ca_bundle":             file(func(c *Config) *string { return &c.Network.CABundle }),
	"dualstack":             boolean(func(c *Config) *bool { return &c.Network.Dualstack }),
	"accelerate":            boolean(func(c *Config) *bool { return &c.Network.Accelerate }),
	"upload_limit":          perSecond(func(c *Config) *int64 { return &c.Limits.Upload }),
	"download_limit":        perSecond(func(c *Config) *int64 { return &c.Limits.Download }),
	"request_limit":         positive(func(c *Config) *int { return &c.Limits.Requests }),
}

// setterOf finds a key. type=s3 has both some_key and some-key, which nobody remembers.
func setterOf(key string) (setter, bool) {
	for _, k := range []string{key, strings.ReplaceAll(key, "-", "_"), strings.ReplaceAll(key, "_", "-")} {
		if set, ok := setters[k]; ok {
			return set, true
		}
	}
	return nil, false
}

func text(at func(*Config) *string) setter {
	return func(c *Config, _, value string) error {
		*at(c) = value
		return nil
	}
}

func boolean(at func(*Config) *bool) setter {
	return func(c *Config, key, value string) error {
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%s=%s: must be true or false", key, value)
		}
		*at(c) = b
		return nil
	}
}

func positive(at func(*Config) *int) setter {
	return func(c *Config, key, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("%s=%s: must be a positive integer", key, value)
		}
		*at(c) = n
		return nil
	}
}

func duration(at func(*Config) *time.Duration) setter {
	return func(c *Config, key, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return fmt.Errorf("%s=%s: must be a duration such as 24h or 30m", key, value)
		}
		*at(c) = d
		return nil
	}
}

// choice is one of the values; an empty one is none.
func choice(at func(*Config) *string, values ...string) setter {
	return func(c *Config, key, value string) error {
		if !slices.Contains(values, value) {
			return fmt.Errorf("%s=%s: must be %s", key, value, strings.Join(values, " or "))
		}
		*at(c) = value
		return nil
	}
}

// whole is an integer that is passed on as it is.
func whole(at func(*Config) *string) setter {
	return func(c *Config, key, value string) error {
		if _, err := strconv.Atoi(value); err != nil {
			return fmt.Errorf("%s=%s: must be an integer", key, value)
		}
		*at(c) = value
		return nil
	}
}

// flag is a boolean that is also true if it is empty, as BuildKit has it for force-compression.
func flag(at func(*Config) *bool) setter {
	set := boolean(at)
	return func(c *Config, key, value string) error {
		if value == "" {
			value = "true"
		}
		return set(c, key, value)
	}
}

// file is a path, which is made absolute: a mount in the background has another working directory.
func file(at func(*Config) *string) setter {
	return func(c *Config, key, value string) error {
		if value == "" {
			*at(c) = ""
			return nil
		}
		path, err := filepath.Abs(value)
		if err != nil {
			return fmt.Errorf("%s=%s: %w", key, value, err)
		}
		*at(c) = path
		return nil
	}
}

// perSecond is an amount of bytes, with or without "/s" after it.
func perSecond(at func(*Config) *int64) setter {
	return func(c *Config, key, value string) error {
		n, err := humanize.ParseBytes(strings.TrimSuffix(value, "/s"))
		if err != nil || n == 0 || n > math.MaxInt64 {
			return fmt.Errorf("%s=%s: must be bytes per second such as 50MB or 20MiB", key, value)
		}
		*at(c) = int64(n)
		return nil
	}
}
