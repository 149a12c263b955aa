package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// TestDeniedRequestsSayWhatTheyNeed: the actions are named where the server does not name one.
func TestDeniedRequestsSayWhatTheyNeed(t *testing.T) {
	t.Parallel()
	large := buckettest.Bytes(5<<20 + 1)
	blob := digest.FromString("blob")
	tests := []struct {
		denied, needs string
		request       func(ctx context.Context, c *bucket.Client) error
	}{
		{"s3:ListBucket", "s3:ListBucket", func(ctx context.Context, c *bucket.Client) error {
			_, err := namesOf(t, c)
			return err
		}},
		{"s3:GetObject", "s3:GetObject and s3:ListBucket", func(ctx context.Context, c *bucket.Client) error {
			_, err := c.StatBlob(ctx, blob)
			return err
		}},
		{"s3:GetObject", "s3:GetObject and s3:ListBucket", func(ctx context.Context, c *bucket.Client) error {
			_, err := c.GetName(ctx, "app")
			return err
		}},
		{"s3:PutObject", "s3:PutObject and s3:PutObjectAcl", func(ctx context.Context, c *bucket.Client) error {
			return c.PutName(ctx, "app", []byte("{}"), nil)
		}},
		{"s3:PutObject", "s3:PutObject and s3:PutObjectAcl", func(ctx context.Context, c *bucket.Client) error {
			return c.PutBlob(ctx, digest.FromBytes(large), bytes.NewReader(large), int64(len(large)))
		}},
		{"s3:PutObject", "s3:GetObject and s3:PutObject and s3:PutObjectAcl", func(ctx context.Context, c *bucket.Client) error {
			return c.TouchBlob(ctx, blob, 4)
		}},
		{"s3:DeleteObject", "s3:DeleteObject", func(ctx context.Context, c *bucket.Client) error {
			return c.DeleteName(ctx, "app")
		}},
		{"s3:ListBucketMultipartUploads", "s3:ListBucketMultipartUploads", func(ctx context.Context, c *bucket.Client) error {
			for _, err := range c.ListUploads(ctx) {
				return err
			}
			return nil
		}},
	}
	cfg := buckettest.Start(t)
	cfg.Storage.ACL = "private"
	buckettest.Put(t, buckettest.OpenWith(t, cfg, bucket.Options{}), []byte("blob"))
	for _, tc := range tests {
		c := buckettest.OpenWith(t, cfg, bucket.Options{PartSize: 5 << 20, Transport: denying(tc.denied)})
		err := tc.request(t.Context(), c)
		if !errors.Is(err, bucket.ErrDenied) || !strings.HasSuffix(err.Error(), "; the credentials need "+tc.needs) {
			t.Errorf("%v, want bucket.ErrDenied, and advice to allow %s", err, tc.needs)
		}
	}
}

// TestDeniedRequestsSayWhatTheServerSays: what it names it knows better, and wrong credentials need no action.
func TestDeniedRequestsSayWhatTheServerSays(t *testing.T) {
	t.Parallel()
	cfg := buckettest.Start(t)
	says := "User: arn:aws:iam::1:user/u is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:r:1:key/k"
	for code, message := range map[string]string{"AccessDenied": says, "SignatureDoesNotMatch": "", "InvalidAccessKeyId": ""} {
		f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
			resp := answer(r, http.StatusForbidden, code)
			body(resp, strings.NewReader("<Error><Code>"+code+"</Code><Message>"+message+"</Message></Error>"))
			return resp, nil
		}}
		_, err := buckettest.OpenWith(t, cfg, bucket.Options{Transport: f}).GetName(t.Context(), "app")
		if !errors.Is(err, bucket.ErrDenied) || !strings.Contains(err.Error(), message) || strings.Contains(err.Error(), "credentials need") {
			t.Errorf("%s: %v", code, err)
		}
	}
}
