package bucket

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tonistiigi/go-csvvalue"
)

// The environment that type=s3 reads itself, besides what the SDK reads.
const (
	envBucket = "AWS_BUCKET"
	envRegion = "AWS_REGION"
)

// Parse reads the CSV of --cache-to type=s3,... (type=s3 is optional, and may stand anywhere). Of a key
// that is given twice the last one counts, as in buildx. An unknown key or a value that does not parse is
// an error that names it; all of them are reported at once. env looks up AWS_BUCKET and AWS_REGION.
func Parse(csv string, env func(string) (string, bool)) (Config, error) {
	c := Default()
	c.Bucket, _ = env(envBucket)
	c.Region, _ = env(envRegion)
	fields, err := csvvalue.Fields(csv, nil)
	if err != nil && strings.TrimSpace(csv) != "" { // all of it may come from the environment
		// The text itself stays out of the error: it may hold a secret.
		return Config{}, fmt.Errorf("a quote in the CSV is out of place: put quotes around a whole field, \"KEY=VALUE\", and double those within: %w", err)
	}
	var errs []error
	for i, field := range fields {
		errs = append(errs, c.set(i, field))
	}
	if err := errors.Join(errs...); err != nil {
		return Config{}, err
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// set takes one KEY=VALUE, the ith of the CSV.
func (c *Config) set(i int, field string) error {
	key, value, ok := strings.Cut(field, "=")
	key = strings.TrimSpace(strings.ToLower(key))
	if !ok && key == "" {
		return nil // an empty CSV, or a comma too many
	}
	set, known := setters[key]
	switch {
	case known && ok:
		return set(c, key, value)
	case known:
		return fmt.Errorf("%s needs a value: %s=...", key, key)
	case !ok: // not quoted: it may be the rest of a secret with a comma in it
		return fmt.Errorf("field %d is not KEY=VALUE (a value with a comma needs quotes: \"KEY=VALUE\")", i+1)
	}
	return unknownKey(key)
}

// setter puts the value of one key into c.
type setter func(c *Config, key, value string) error

// setters are the keys of type=s3. The table is never written.
var setters = map[string]setter{
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
	"retry_mode":              text(func(c *Config) *string { return &c.RetryMode }),
	"retry_max_attempts":      positive(func(c *Config) *int { return &c.RetryMaxAttempts }),
	"disable_accept_encoding": boolean(func(c *Config) *bool { return &c.DisableAcceptEncoding }),
	"mode":                    text(func(c *Config) *string { return &c.Mode }),
	"ignore-error":            boolean(func(c *Config) *bool { return &c.IgnoreError }),
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

func unknownKey(key string) error {
	valid := slices.Sorted(maps.Keys(setters))
	near := slices.MinFunc(valid, func(a, b string) int { return distance(a, key) - distance(b, key) })
	if distance(near, key) <= 2 {
		return fmt.Errorf("unknown key %q, did you mean %q?", key, near)
	}
	return fmt.Errorf("unknown key %q; valid keys are %s", key, strings.Join(valid, ", "))
}

// distance is how many bytes must be added, dropped or changed to make a of b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
