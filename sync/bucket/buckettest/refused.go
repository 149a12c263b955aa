package buckettest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// requests makes every kind of request, and says how each ended.
func requests(ctx context.Context, c *bucket.Client) map[string]error {
	small, large := []byte("blob"), Bytes(5<<20+1) // which smallParts sends in parts
	d := digest.FromBytes(small)
	_, stat := c.StatBlob(ctx, d)
	_, open := c.OpenBlob(ctx, d, 0, -1)
	_, openRange := c.OpenBlob(ctx, d, 1, 2)
	_, get := c.GetName(ctx, "x")
	return map[string]error{
		"stat": stat, "open": open, "open a range": openRange, "get a name": get,
		"put":           c.PutBlob(ctx, d, bytes.NewReader(small), int64(len(small))),
		"put in parts":  c.PutBlob(ctx, digest.FromBytes(large), bytes.NewReader(large), int64(len(large))),
		"touch":         c.TouchBlob(ctx, d, int64(len(small))),
		"put a name":    c.PutName(ctx, "x", []byte("{}"), nil),
		"delete a name": c.DeleteName(ctx, "x"),
		"list blobs":    listing(c.ListBlobs(ctx)),
		"list names":    listing(c.ListNames(ctx, "")),
		"check":         c.Check(ctx),
	}
}

// listing is how a listing ends.
func listing[T any](all func(yield func(T, error) bool)) (err error) {
	for _, err = range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func testCancelled(t *testing.T, cfg bucket.Config) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range requests(ctx, OpenWith(t, cfg, smallParts)) {
		if !errors.Is(err, context.Canceled) || errors.Is(err, bucket.ErrUnreachable) {
			t.Errorf("%s: %v, want context.Canceled", what, err)
		}
	}
}

// testNoBucket makes sure that a bucket that is gone does not pass for an empty one. The answer to a HEAD
// cannot say what is gone.
func testNoBucket(t *testing.T, cfg bucket.Config) {
	cfg.Bucket += "-gone"
	for what, err := range requests(t.Context(), OpenWith(t, cfg, smallParts)) {
		if err == nil || (errors.Is(err, fs.ErrNotExist) && what != "stat") || errors.Is(err, bucket.ErrDenied) {
			t.Errorf("%s in a bucket that is not there: %v, want an error, and not one of what is in it", what, err)
		}
		if what == "check" && (err == nil || !strings.Contains(err.Error(), "no such bucket")) {
			t.Errorf("Check: %v", err)
		}
	}
}

func testWrongSecret(t *testing.T, cfg bucket.Config) {
	cfg.SecretAccessKey = "not" + cfg.SecretAccessKey
	wantDenied(t, cfg, "secret_access_key")
}

func testUnknownKey(t *testing.T, cfg bucket.Config) {
	cfg.AccessKeyID = "nobody" + cfg.AccessKeyID[:6]
	wantDenied(t, cfg, "access_key_id")
}

// wantDenied has every request fail as denied, and Check name what is wrong.
func wantDenied(t *testing.T, cfg bucket.Config, parameter string) {
	t.Helper()
	for what, err := range requests(t.Context(), OpenWith(t, cfg, smallParts)) {
		if !errors.Is(err, bucket.ErrDenied) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, bucket.ErrUnreachable) {
			t.Errorf("%s: %v, want bucket.ErrDenied", what, err)
		}
		if what == "check" && (err == nil || !strings.Contains(err.Error(), "check "+parameter)) {
			t.Errorf("Check: %v, want advice about %s", err, parameter)
		}
	}
}
