package bucket_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// TestOtherRegion: a server that sends us elsewhere is not followed, because the signature holds for one
// region and one host; the person at the terminal hears where the bucket is.
func TestOtherRegion(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	there := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	const body = "<Error><Code>%</Code><Message>The bucket you are attempting to access must be addressed using the specified endpoint.</Message></Error>"
	xml := func(code string, header ...string) http.HandlerFunc {
		h := http.Header{"Content-Type": {"application/xml"}, "X-Amz-Request-Id": {"1"}}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		status := http.StatusMovedPermanently
		if code == "TemporaryRedirect" {
			status = http.StatusTemporaryRedirect
		}
		return page(status, h, strings.ReplaceAll(body, "%", code))
	}
	for name, tc := range map[string]struct {
		serve http.HandlerFunc
		text  string
	}{
		"301, region":           {xml("PermanentRedirect", "X-Amz-Bucket-Region", "eu-north-1"), "the bucket is in region eu-north-1, not in r: set region=eu-north-1"},
		"301, region, location": {xml("PermanentRedirect", "X-Amz-Bucket-Region", "eu-north-1", "Location", there), "set region=eu-north-1"},
		"301, nothing said":     {xml("PermanentRedirect"), "the bucket is not in region r"},
		"307, region":           {xml("TemporaryRedirect", "X-Amz-Bucket-Region", "eu-north-1", "Location", there), "set region=eu-north-1"},
		"307, location":         {xml("TemporaryRedirect", "Location", there), "the server sends us to " + there},
		"307, same region":      {xml("TemporaryRedirect", "X-Amz-Bucket-Region", "r", "Location", there), "the server sends us to " + there},
	} {
		t.Run(name, func(t *testing.T) {
			c := at(serve(t, tc.serve))
			wantCheck(t, c, nil, tc.text)
			client := buckettest.OpenWith(t, c, bucket.Options{})
			if _, err := client.StatBlob(t.Context(), digest.FromString("x")); err == nil {
				t.Error("stat: no error")
			}
			if err := client.PutBlob(t.Context(), digest.FromString("x"), strings.NewReader("x"), 1); err == nil {
				t.Error("put: no error")
			}
		})
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// TestRedirectOnTheSameHost is followed: the signature still holds.
func TestRedirectOnTheSameHost(t *testing.T) {
	t.Parallel()
	var redirected atomic.Bool
	cfg := buckettest.Start(t)
	real := forward(strings.TrimPrefix(cfg.EndpointURL, "http://"))
	cfg.EndpointURL = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if redirected.CompareAndSwap(false, true) {
			w.Header().Set("Location", r.URL.String())
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		real.ServeHTTP(w, r)
	})
	if err := buckettest.OpenWith(t, cfg, bucket.Options{}).Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
}

// skewed is a server whose clock is wrong, or right where ours is not: it refuses what is not signed at its
// own time, as S3 does.
func skewed(skew time.Duration) *fault {
	rec := &recorder{}
	return &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		now := time.Now().Add(skew).UTC()
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil {
			return nil, err
		}
		resp := answer(r, http.StatusForbidden, "RequestTimeTooSkewed")
		if now.Sub(signed).Abs() < 15*time.Minute {
			if resp, err = rec.RoundTrip(r); err != nil {
				return nil, err
			}
			if r.Method == http.MethodGet {
				resp.Body = io.NopCloser(strings.NewReader("<ListBucketResult><Name>b</Name></ListBucketResult>"))
			}
		} else if r.Method == http.MethodHead {
			resp.Body = http.NoBody
		}
		resp.Header.Set("Date", now.Format(http.TimeFormat))
		return resp, nil
	}}
}

// TestClockSkew: requests are signed by the server's clock once it was heard, which is at the first try.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	b := buckettest.Bytes(1000)
	for _, skew := range []time.Duration{0, time.Hour, -26 * time.Hour, 400 * 24 * time.Hour} {
		f := skewed(skew)
		c := buckettest.OpenWith(t, at("http://s3.test"), bucket.Options{Transport: f})
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("Check, %v off: %v", skew, err)
		}
		first := f.requests.Load()
		if _, err := c.StatBlob(t.Context(), digest.FromString("x")); err != nil {
			t.Errorf("stat, %v off: %v", skew, err)
		}
		if err := c.PutBlob(t.Context(), digest.FromBytes(b), bytes.NewReader(b), int64(len(b))); err != nil {
			t.Errorf("put, %v off: %v", skew, err)
		}
		if n := f.requests.Load() - first; n != 2 || first > 2 {
			t.Errorf("%v off: %d tries at the first request, and %d at two more", skew, first, n)
		}
	}
}
