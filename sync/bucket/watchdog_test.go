package bucket_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// roundTrip is a server.
type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// slowReader waits before each byte.
type slowReader struct {
	wait time.Duration
	left int
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.wait)
	s.left--
	return copy(p, "x"), nil
}

const (
	headerLimit = 10 * time.Second
	stallLimit  = time.Second
)

func send(t *testing.T, body io.Reader, server roundTrip) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://s3.test/", body)
	if err != nil {
		t.Fatal(err)
	}
	return bucket.NewWatchdog(server, headerLimit, stallLimit).RoundTrip(r)
}

// sendInVain is send when no answer is expected.
func sendInVain(t *testing.T, body io.Reader, server roundTrip) error {
	t.Helper()
	resp, err := send(t, body, server)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func reply(r *http.Request, body io.Reader) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(body)}
}

// hang waits for the end of the request.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func wantStall(t *testing.T, err error, text string, after, want time.Duration) {
	t.Helper()
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) || !timeout.Timeout() || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, want a timeout: %s", err, text)
	}
	if after != want {
		t.Errorf("it took %v, want %v", after, want)
	}
}

func TestWatchdogNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := sendInVain(t, nil, hang)
		wantStall(t, err, "no answer", time.Since(began), headerLimit)
	})
}

func TestWatchdogNoAnswerToBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := sendInVain(t, strings.NewReader("body"), func(r *http.Request) (*http.Response, error) {
			_, _ = io.Copy(io.Discard, r.Body)
			return hang(r)
		})
		wantStall(t, err, "no answer", time.Since(began), headerLimit+stallLimit)
	})
}

func TestWatchdogBodyNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := sendInVain(t, strings.NewReader("body"), func(r *http.Request) (*http.Response, error) {
			_, _ = r.Body.Read(make([]byte, 1))
			return hang(r)
		})
		wantStall(t, err, "no byte of the request was taken", time.Since(began), stallLimit)
	})
}

func TestWatchdogBodyStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resp, err := send(t, nil, func(r *http.Request) (*http.Response, error) {
			return reply(r, stalledReader{strings.NewReader("some"), r.Context().Done()}), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		began := time.Now()
		_, err = io.ReadAll(resp.Body)
		wantStall(t, err, "no byte of the answer came", time.Since(began), stallLimit)
	})
}

// TestWatchdogIsPatient is a request that takes hours with some progress all the time, or with nobody who
// wants any.
func TestWatchdogIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bytes = 100
		slow := func() io.Reader { return &slowReader{wait: stallLimit - time.Millisecond, left: bytes} }
		// The disk that is read may be as slow as it likes.
		disk := &slowReader{wait: time.Hour, left: 3}
		resp, err := send(t, disk, func(r *http.Request) (*http.Response, error) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return nil, err
			}
			time.Sleep(headerLimit - time.Millisecond)
			return reply(r, slow()), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // before reading
		got, err := io.ReadAll(resp.Body)
		if err != nil || len(got) != bytes {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWatchdogEarlyAnswer is a server that answers and takes the rest of the body afterwards.
func TestWatchdogEarlyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resp, err := send(t, strings.NewReader("body"), func(r *http.Request) (*http.Response, error) {
			go func() {
				time.Sleep(stallLimit / 2)
				_, _ = r.Body.Read(make([]byte, 1)) // and no more
			}()
			return reply(r, &slowReader{wait: stallLimit / 2, left: 100}), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, err := io.ReadAll(resp.Body); err != nil || len(got) != 100 {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	})
}

// TestAHangingServerIsWaitedForOnce by who says so: each attempt waits as long as the first.
func TestAHangingServerIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c := bucket.Default()
		c.Bucket, c.Region, c.EndpointURL = "b", "us-east-1", "http://s3.test"
		c.AccessKeyID, c.SecretAccessKey = "key", "secret"
		client, err := bucket.Open(t.Context(), c, bucket.Options{
			HeaderTimeout: headerLimit,
			Transport:     roundTrip(func(r *http.Request) (*http.Response, error) { attempts++; return hang(r) }),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			ctx  context.Context
			want int
		}{{t.Context(), 3}, {bucket.StallsOnce(t.Context()), 1}} {
			attempts = 0
			if _, err := client.StatBlob(tc.ctx, digest.FromString("x")); !errors.Is(err, bucket.ErrUnreachable) {
				t.Errorf("StatBlob of a server that hangs: %v", err)
			}
			if attempts != tc.want {
				t.Errorf("%d attempts, not %d", attempts, tc.want)
			}
		}
	})
}
