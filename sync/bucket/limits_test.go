package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// exchange sends up bytes and reads the answer.
func exchange(ctx context.Context, rt http.RoundTripper, up int) error {
	var body io.Reader
	if up > 0 {
		body = bytes.NewReader(make([]byte, up))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://s3.test/", body)
	if err != nil {
		return err
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// endless is a server with a wire that is never the limit; it answers with a number of bytes.
func endless(down int64) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return nil, err
			}
		}
		return reply(r, io.LimitReader(zeros{}, down)), nil
	}
}

// short are deadlines that pass before any limit lets everything through.
var short = bucket.Options{HeaderTimeout: 5 * time.Second, StallTimeout: 2 * time.Second}

// TestLimits moves what takes 20 s, in one request and in many at once. A twentieth of a second's worth may
// come at once. Deadlines must not count the time that a request waits.
func TestLimits(t *testing.T) {
	const rate = 1_000_000
	tests := map[string]struct {
		limits   bucket.Limits
		requests int
		up, down int // bytes of each
	}{
		"upload":              {bucket.Limits{Upload: rate}, 1, 20 * rate, 5},
		"upload, by many":     {bucket.Limits{Upload: rate}, 100, 20 * rate / 100, 5},
		"download":            {bucket.Limits{Download: rate}, 1, 5, 20 * rate},
		"download, by many":   {bucket.Limits{Download: rate}, 100, 5, 20 * rate / 100},
		"download, very slow": {bucket.Limits{Download: 1}, 1, 5, 20},
		"requests":            {bucket.Limits{Requests: 10}, 200, 5, 5},
		"requests, few":       {bucket.Limits{Requests: 1}, 20, 5, 5},
		"neither is limited":  {bucket.Limits{}, 10, rate, rate},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := 20 * time.Second
				if tc.limits == (bucket.Limits{}) {
					want = 0
				}
				rt := bucket.NewTransport(endless(int64(tc.down)), short, tc.limits)
				began := time.Now()
				var wg sync.WaitGroup
				for range tc.requests {
					wg.Go(func() {
						if err := exchange(t.Context(), rt, tc.up); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if took := time.Since(began); took > want || took < want-want/10 {
					t.Errorf("it took %v, want %v", took, want)
				}
			})
		})
	}
}

// TestLimitsAndContexts: who waits for their turn goes when the caller does, and a deadline that is too
// short for the limit is no failure of the bucket.
func TestLimitsAndContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := bucket.NewTransport(endless(5), short, bucket.Limits{Requests: 1})
		if err := exchange(t.Context(), rt, 5); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second/2, cancel)
		began := time.Now()
		if err := exchange(ctx, rt, 5); !errors.Is(err, context.Canceled) || time.Since(began) != time.Second/2 {
			t.Errorf("cancelled while it waits: %v after %v", err, time.Since(began))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		cfg := at("http://s3.test")
		cfg.Limits.Requests = 1
		c := buckettest.OpenWith(t, cfg, bucket.Options{Transport: &recorder{}})
		if _, err := c.StatBlob(t.Context(), digest.FromString("x")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := c.StatBlob(ctx, digest.FromString("x")); err == nil || errors.Is(err, bucket.ErrUnreachable) {
			t.Errorf("a deadline before the turn: %v", err)
		}
	})
}

// TestLimitsOfTheConfiguration is an upload to a real server that has to take a second.
func TestLimitsOfTheConfiguration(t *testing.T) {
	t.Parallel()
	cfg := buckettest.Start(t)
	cfg.Limits.Upload = 1 << 20
	began := time.Now()
	buckettest.Put(t, buckettest.OpenWith(t, cfg, bucket.Options{}), buckettest.Bytes(1<<20))
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("1 MiB went up in %v at 1 MiB/s", took)
	}
}
