package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// fault is a RoundTripper that may answer in the server's place: a nil, nil of its function asks the
// server. n counts the requests from 1.
type fault struct {
	do func(n int64, r *http.Request) (*http.Response, error)
	// edit changes what the server answered; nil: nothing.
	edit func(n int64, r *http.Response)

	requests atomic.Int64
}

func (f *fault) RoundTrip(r *http.Request) (*http.Response, error) {
	n := f.requests.Add(1)
	if f.do != nil {
		if resp, err := f.do(n, r); resp != nil || err != nil {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return resp, err
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && f.edit != nil {
		f.edit(n, resp)
	}
	return resp, err
}

// answer is an error of S3.
func answer(r *http.Request, status int, code string) *http.Response {
	return &http.Response{
		StatusCode: status, Request: r, Header: http.Header{"Content-Type": {"application/xml"}},
		Body: io.NopCloser(strings.NewReader("<Error><Code>" + code + "</Code><Message>as the test wants it</Message></Error>")),
	}
}

// withFault is a client whose blob is in the bucket, and then has the fault.
func withFault(t *testing.T, f *fault, o bucket.Options) (*bucket.Client, digest.Digest, []byte) {
	t.Helper()
	cfg := buckettest.Start(t)
	b := buckettest.Bytes(100_000)
	d := buckettest.Put(t, buckettest.OpenWith(t, cfg, bucket.Options{}), b)
	o.Transport = f
	return buckettest.OpenWith(t, cfg, o), d, b
}

func TestRetries(t *testing.T) {
	t.Parallel()
	faults := map[string]func(r *http.Request) (*http.Response, error){
		"503 SlowDown":     func(r *http.Request) (*http.Response, error) { return answer(r, 503, "SlowDown"), nil },
		"500":              func(r *http.Request) (*http.Response, error) { return answer(r, 500, "InternalError"), nil },
		"connection reset": func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET },
	}
	for name, first := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fault{do: func(n int64, r *http.Request) (*http.Response, error) {
				if n%2 == 1 {
					return first(r)
				}
				return nil, nil
			}}
			c, d, b := withFault(t, f, bucket.Options{})
			if got, err := buckettest.Get(t.Context(), c, d, 0, -1); err != nil || !bytes.Equal(got, b) {
				t.Errorf("get: %d bytes, %v", len(got), err)
			}
			buckettest.Put(t, c, []byte("another"))
			if _, err := c.StatBlob(t.Context(), d); err != nil {
				t.Errorf("stat: %v", err)
			}
			if got := f.requests.Load(); got != 6 {
				t.Errorf("%d requests, want each of three tried twice", got)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}}
	c, d, _ := withFault(t, f, bucket.Options{HeaderTimeout: 20 * time.Millisecond, StallTimeout: 20 * time.Millisecond})
	_, err := c.StatBlob(t.Context(), d)
	if !errors.Is(err, bucket.ErrUnreachable) || !strings.Contains(err.Error(), "no answer for 20ms") {
		t.Errorf("stat: %v", err)
	}
	if err := c.PutBlob(t.Context(), digest.FromString("x"), strings.NewReader("x"), 1); !errors.Is(err, bucket.ErrUnreachable) {
		t.Errorf("put: %v", err)
	}
	if got := f.requests.Load(); got != 6 {
		t.Errorf("%d requests, want each of two tried three times", got)
	}
}

// body replaces the body of an answer.
func body(r *http.Response, b io.Reader) {
	_ = r.Body.Close()
	r.Body = io.NopCloser(b)
}

// stalledReader gives what is in it and then nothing, until the request is over.
type stalledReader struct {
	io.Reader
	done <-chan struct{}
}

func (s stalledReader) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		<-s.done
		err = context.Canceled
	}
	return n, err
}

func TestBodies(t *testing.T) {
	t.Parallel()
	some := func() io.Reader { return bytes.NewReader(buckettest.Bytes(1000)) }
	tests := map[string]struct {
		edit func(n int64, r *http.Response)
		want error
	}{
		"stalls":       {func(_ int64, r *http.Response) { body(r, stalledReader{some(), r.Request.Context().Done()}) }, bucket.ErrUnreachable},
		"is cut short": {func(_ int64, r *http.Response) { body(r, some()) }, io.ErrUnexpectedEOF},
		"breaks":       {func(_ int64, r *http.Response) { body(r, io.MultiReader(some(), broken{syscall.ECONNRESET})) }, bucket.ErrUnreachable},
		"short length": {func(_ int64, r *http.Response) {
			body(r, some())
			r.ContentLength = 1000
			r.Header.Set("Content-Length", "1000")
		}, io.ErrUnexpectedEOF},
		"other range":    {func(_ int64, r *http.Response) { r.Header.Set("Content-Range", "bytes 0-9999/100000") }, nil},
		"no range":       {func(_ int64, r *http.Response) { r.Header.Del("Content-Range") }, nil},
		"odd range":      {func(_ int64, r *http.Response) { r.Header.Set("Content-Range", "bytes */7") }, nil},
		"longer than it": {func(_ int64, r *http.Response) { r.Header.Set("Content-Length", "99999") }, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, d, b := withFault(t, &fault{edit: tc.edit}, bucket.Options{StallTimeout: 50 * time.Millisecond})
			got, err := buckettest.Get(t.Context(), c, d, 10, 10_000)
			if err == nil {
				t.Fatalf("read %d bytes without an error", len(got))
			}
			if !bytes.HasPrefix(b[10:], got) && name != "stalls" && name != "breaks" && name != "is cut short" {
				t.Errorf("read %d wrong bytes", len(got))
			}
			if tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if !strings.Contains(err.Error(), d.String()) {
				t.Errorf("%v does not name the blob", err)
			}
		})
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error)          { return 0, b.err }
func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.err }

// TestLocalFailure is a disk that fails below an upload: no matter of the network, and not tried again.
func TestLocalFailure(t *testing.T) {
	t.Parallel()
	f := &fault{}
	c, _, _ := withFault(t, f, bucket.Options{PartSize: 5 << 20})
	for _, size := range []int64{1000, 6 << 20} {
		f.requests.Store(0)
		err := c.PutBlob(t.Context(), digest.FromString("x"), broken{syscall.EIO}, size)
		if !errors.Is(err, syscall.EIO) || errors.Is(err, bucket.ErrUnreachable) {
			t.Errorf("put of %d bytes: %v", size, err)
		}
		if got := f.requests.Load(); got > 4 { // begin, two parts, abort
			t.Errorf("put of %d bytes: %d requests", size, got)
		}
	}
	err := c.PutBlob(t.Context(), digest.FromString("x"), strings.NewReader("short"), 1000)
	if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, bucket.ErrUnreachable) {
		t.Errorf("put of a file that is shorter than it should be: %v", err)
	}
	wantUploads(t, c, 0)
}

// TestWrongBytesAreRefused: a blob that goes up in one request is signed with its digest, and a server that
// looks at signatures takes no other bytes.
func TestWrongBytesAreRefused(t *testing.T) {
	t.Parallel()
	c := buckettest.Open(t)
	d := digest.FromString("what the name says")
	if err := c.PutBlob(t.Context(), d, strings.NewReader("something else..."), 17); err == nil {
		t.Error("PutBlob of bytes that are not the digest's: no error")
	}
	if _, err := c.StatBlob(t.Context(), d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("StatBlob after the refused upload: %v, want fs.ErrNotExist", err)
	}
}

func wantUploads(t *testing.T, c *bucket.Client, want int) {
	t.Helper()
	if n, err := c.Uploads(t.Context()); err != nil || n != want {
		t.Errorf("%d uploads are left behind, %v, want %d", n, err, want)
	}
}

// isPart says whether r carries a part up.
func isPart(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Has("partNumber")
}

func TestFailedPartIsCleanedUp(t *testing.T) {
	t.Parallel()
	f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		if isPart(r) && r.URL.Query().Get("partNumber") == "2" {
			return answer(r, http.StatusForbidden, "AccessDenied"), nil
		}
		return nil, nil
	}}
	c, _, _ := withFault(t, f, bucket.Options{PartSize: 5 << 20})
	b := buckettest.Bytes(15 << 20)
	err := c.PutBlob(t.Context(), digest.FromBytes(b), bytes.NewReader(b), int64(len(b)))
	if !errors.Is(err, bucket.ErrDenied) || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("put: %v", err)
	}
	wantUploads(t, c, 0)
}

func TestCancelledUploadIsCleanedUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		if !isPart(r) {
			return nil, nil
		}
		cancel()
		<-r.Context().Done()
		return nil, r.Context().Err()
	}}
	c, _, _ := withFault(t, f, bucket.Options{PartSize: 5 << 20})
	b := buckettest.Bytes(15 << 20)
	err := c.PutBlob(ctx, digest.FromBytes(b), bytes.NewReader(b), int64(len(b)))
	if !errors.Is(err, context.Canceled) || errors.Is(err, bucket.ErrUnreachable) {
		t.Errorf("put: %v", err)
	}
	wantUploads(t, c, 0)
}

// TestUploadsAreBounded counts the requests with bytes of blobs that are on their way at once.
func TestUploadsAreBounded(t *testing.T) {
	t.Parallel()
	const limit = 4 // for upload_parallelism=1
	var now, most atomic.Int64
	var once sync.Once
	full := make(chan struct{})
	f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		if !isPart(r) {
			return nil, nil
		}
		n := now.Add(1)
		defer now.Add(-1)
		if most.Store(max(most.Load(), n)); n == limit {
			once.Do(func() { close(full) })
		}
		<-full // the first ones wait until as many are there as may be
		return nil, nil
	}}
	cfg := buckettest.Start(t)
	cfg.UploadParallelism = 1
	c := buckettest.OpenWith(t, cfg, bucket.Options{PartSize: 5 << 20, Transport: f})
	buckettest.Put(t, c, buckettest.Bytes(5*(limit+2)<<20))
	if got := most.Load(); got != limit {
		t.Errorf("%d parts at once, want %d", got, limit)
	}
}

// TestTouchInParts touches a blob that is larger than one copy may be.
func TestTouchInParts(t *testing.T) {
	t.Parallel()
	var ranges sync.Map
	f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		ranges.Store(r.Header.Get("X-Amz-Copy-Source-Range"), true)
		return nil, nil
	}}
	cfg := buckettest.Start(t)
	cfg.Prefix = "a b+c/ü%/" // the source has to be escaped
	c := buckettest.OpenWith(t, cfg, bucket.Options{Transport: f})
	want := buckettest.Bytes(10<<20 + 7)
	d := buckettest.Put(t, c, want)
	c.SetMaxCopy(5 << 20)
	if err := c.TouchBlob(t.Context(), d, int64(len(want))); err != nil {
		t.Fatal(err)
	}
	if got, err := buckettest.Get(t.Context(), c, d, 0, -1); err != nil || !bytes.Equal(got, want) {
		t.Errorf("after the touch: %d bytes, %v", len(got), err)
	}
	for _, r := range []string{"bytes=0-5242879", "bytes=5242880-10485759", "bytes=10485760-10485766"} {
		if _, ok := ranges.Load(r); !ok {
			t.Errorf("%s was not copied", r)
		}
	}
	c.SetMaxCopy(6 << 20) // and one copy, for the escaping of that request
	buckettest.Put(t, c, []byte("small"))
	if err := c.TouchBlob(t.Context(), digest.FromString("small"), 5); err != nil {
		t.Error(err)
	}
}

// TestAPublicationIsOneRequest is what an update of index.json costs under the builder's lock.
func TestAPublicationIsOneRequest(t *testing.T) {
	t.Parallel()
	f := &fault{}
	c, _, _ := withFault(t, f, bucket.Options{})
	if err := c.PutName(t.Context(), "app", []byte("{}"), nil); err != nil {
		t.Fatal(err)
	}
	if n := f.requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestVersionOfAYoungName: an object that is younger than the second that LastModified is exact to may be
// written again and look the same.
func TestVersionOfAYoungName(t *testing.T) {
	t.Parallel()
	var age atomic.Int64
	f := &fault{edit: func(_ int64, r *http.Response) {
		now := time.Now().UTC()
		r.Header.Set("Date", now.Format(http.TimeFormat))
		r.Header.Set("Last-Modified", now.Add(-time.Duration(age.Load())).Format(http.TimeFormat))
	}}
	c, _, _ := withFault(t, f, bucket.Options{})
	if err := c.PutName(t.Context(), "app", []byte("{}"), nil); err != nil {
		t.Fatal(err)
	}
	for _, a := range []time.Duration{-time.Minute, 0, time.Second, 3 * time.Second, time.Hour} {
		age.Store(int64(a))
		n, err := c.GetName(t.Context(), "app")
		if known := !n.Version.LastModified.IsZero(); err != nil || known != (a > 2*time.Second) {
			t.Errorf("written %v ago: version %+v, %v", a, n.Version, err)
		}
	}
}

func TestLargeNameIsRefused(t *testing.T) {
	t.Parallel()
	f := &fault{edit: func(_ int64, r *http.Response) {
		r.ContentLength = -1
		r.Header.Del("Content-Length")
		body(r, io.LimitReader(zeros{}, bucket.MaxNameSize+10))
	}}
	cfg := buckettest.Start(t)
	if err := buckettest.OpenWith(t, cfg, bucket.Options{}).PutName(t.Context(), "app", []byte("{}"), nil); err != nil {
		t.Fatal(err)
	}
	_, err := buckettest.OpenWith(t, cfg, bucket.Options{Transport: f}).GetName(t.Context(), "app")
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(bucket.MaxNameSize)) {
		t.Errorf("GetName of a body without end: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
