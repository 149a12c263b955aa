package bucket

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/tonistiigi/go-csvvalue"
)

// The environment that type=s3 reads itself, besides what the SDK reads.
const (
	envBucket = "AWS_BUCKET"
	envRegion = "AWS_REGION"
)

// Parse reads the CSV of --cache-to type=s3,... (type=s3 is optional, and may stand anywhere), with the keys
// of setters, where - and _ are the same. Of a key that is given twice the last one counts, as in buildx. An
// unknown key or a value that does not parse is an error that names it, where type=s3 passes over most of
// them; all are reported at once. env looks up AWS_BUCKET and AWS_REGION.
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
	set, known := setterOf(key)
	switch {
	case known && ok:
		return set(c, key, value)
	case known:
		return fmt.Errorf("%s needs a value: %[1]s=VALUE", key)
	case !ok: // not quoted: it may be the rest of a secret with a comma in it
		return fmt.Errorf("field %d is not KEY=VALUE (a value with a comma needs quotes: \"KEY=VALUE\")", i+1)
	}
	return unknownKey(key)
}

func unknownKey(key string) error {
	valid := slices.Sorted(maps.Keys(setters))
	near := slices.MinFunc(valid, func(a, b string) int {
		return levenshtein.ComputeDistance(a, key) - levenshtein.ComputeDistance(b, key)
	})
	if levenshtein.ComputeDistance(near, key) <= 2 {
		return fmt.Errorf("unknown key %q, did you mean %q?", key, near)
	}
	return fmt.Errorf("unknown key %q; valid keys are %s", key, strings.Join(valid, ", "))
}
