package bucket_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// busy is a server without a wire that refuses the first times requests, with the headers given.
func busy(times int64, header map[string]string) *fault {
	rec := &recorder{}
	return &fault{do: func(n int64, r *http.Request) (*http.Response, error) {
		if n > times {
			return rec.RoundTrip(r)
		}
		resp := answer(r, http.StatusServiceUnavailable, "SlowDown")
		for key, value := range header {
			resp.Header.Set(key, value)
		}
		return resp, nil
	}}
}

// TestRetryAfter: a server that says how long it wants to be left alone is, within reason. Without that the
// SDK waits for at most a second before its first retry, and never for more than 20.
func TestRetryAfter(t *testing.T) {
	date := func(after time.Duration) string {
		return time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC).Add(after).Format(http.TimeFormat) // by a clock that is not ours
	}
	for name, tc := range map[string]struct {
		header   map[string]string
		min, max time.Duration
	}{
		"seconds":       {map[string]string{"Retry-After": "7"}, 7 * time.Second, 7 * time.Second},
		"date":          {map[string]string{"Retry-After": date(9 * time.Second), "Date": date(0)}, 9 * time.Second, 9 * time.Second},
		"past":          {map[string]string{"Retry-After": date(-time.Hour), "Date": date(0)}, 0, time.Second},
		"an hour":       {map[string]string{"Retry-After": "3600"}, 20 * time.Second, 20 * time.Second},
		"out of bounds": {map[string]string{"Retry-After": "99999999999999999999"}, 0, time.Second},
		"negative":      {map[string]string{"Retry-After": "-7"}, 0, time.Second},
		"nonsense":      {map[string]string{"Retry-After": "soon"}, 0, time.Second},
		"none":          {nil, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := buckettest.OpenWith(t, at("http://s3.test"), bucket.Options{Transport: busy(1, tc.header)})
				began := time.Now()
				if _, err := c.StatBlob(t.Context(), digest.FromString("x")); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < tc.min || took > tc.max {
					t.Errorf("it was tried again after %v, want %v to %v", took, tc.min, tc.max)
				}
			})
		})
	}
}

func TestRetryMaxAttempts(t *testing.T) {
	for given, want := range map[int]int64{0: 3, 1: 1, 7: 7} {
		synctest.Test(t, func(t *testing.T) {
			cfg := at("http://s3.test")
			cfg.RetryMaxAttempts = given
			f := busy(1000, nil)
			c := buckettest.OpenWith(t, cfg, bucket.Options{Transport: f})
			if _, err := c.StatBlob(t.Context(), digest.FromString("x")); err == nil || !strings.Contains(err.Error(), "SlowDown") && !strings.Contains(err.Error(), "503") {
				t.Errorf("stat: %v", err)
			}
			if n := f.requests.Load(); n != want {
				t.Errorf("retry_max_attempts=%d: %d attempts, want %d", given, n, want)
			}
		})
	}
}

// TestRetryMode: adaptive means that a server which complained is asked at a lower rate from then on, also
// for what it does not refuse. (The SDK does not get on with a clock that stands still.)
func TestRetryMode(t *testing.T) {
	t.Parallel()
	slow := askAfterBusy(t, "adaptive")
	for _, mode := range []string{"", "standard"} {
		quick := slow
		for try := 0; try < 5 && quick > slow/4; try++ { // a machine with much to do is slow at times
			quick = askAfterBusy(t, mode)
		}
		if quick > slow/4 {
			t.Errorf("3 requests took %v in mode %q, and %v in adaptive", quick, mode, slow)
		}
	}
}

// askAfterBusy is how long three requests take after one that was told to slow down.
func askAfterBusy(t *testing.T, mode string) time.Duration {
	t.Helper()
	cfg := at("http://s3.test")
	cfg.RetryMode = mode
	c := buckettest.OpenWith(t, cfg, bucket.Options{Transport: busy(1, nil)})
	ask := func() {
		if _, err := c.StatBlob(t.Context(), digest.FromString("x")); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	began := time.Now()
	for range 3 {
		ask()
	}
	return time.Since(began)
}

// TestRetriesReadTheBlobAgain breaks each upload off in its middle once: what arrives is whole.
func TestRetriesReadTheBlobAgain(t *testing.T) {
	t.Parallel()
	var broken sync.Map // by the number of the part; "" for an upload in one request
	f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodPut {
			return nil, nil
		}
		if _, again := broken.LoadOrStore(r.URL.Query().Get("partNumber"), true); again {
			return nil, nil
		}
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		return answer(r, http.StatusInternalServerError, "InternalError"), nil
	}}
	c := buckettest.OpenWith(t, buckettest.Start(t), bucket.Options{Transport: f, PartSize: 5 << 20})
	for _, size := range []int{100_000, 12 << 20} {
		b := buckettest.Bytes(size)
		d := buckettest.Put(t, c, b)
		if got, err := buckettest.Get(t.Context(), c, d, 0, -1); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes: %d other bytes arrived, %v", size, len(got), err)
		}
	}
	for _, part := range []string{"", "1", "2", "3"} {
		if _, ok := broken.Load(part); !ok {
			t.Errorf("the upload of part %q was not broken off", part)
		}
	}
}
