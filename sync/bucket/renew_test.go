package bucket_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// gate is a server that takes one key, and refuses others as S3 does: with a code, but for a HEAD.
type gate struct {
	takes  atomic.Value // string
	code   string       // of refusals
	behind recorder

	refused, taken atomic.Int64
	body           atomic.Value // []byte, of the last upload that was taken
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if key, _, _ := strings.Cut(signedBy(r), " "); key != g.takes.Load() {
		g.refused.Add(1)
		if r.Body != nil { // half of an upload has gone when the answer comes
			_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
			_ = r.Body.Close()
		}
		resp := answer(r, http.StatusBadRequest, g.code)
		if r.Method == http.MethodHead {
			resp.Body = http.NoBody
		}
		return resp, nil
	}
	g.taken.Add(1)
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		g.body.Store(b)
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
	return g.behind.RoundTrip(r)
}

// login writes what a login tool writes: a profile without an expiry.
func login(t *testing.T, path, key string) {
	t.Helper()
	write(t, "", path, fmt.Sprintf("[default]\naws_access_key_id=%s\naws_secret_access_key=s\naws_session_token=t\n", key))
}

// renewable is a client whose credentials stand in a file, and are over when the test begins.
func renewable(t *testing.T, code string, every time.Duration) (*bucket.Client, *gate, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "credentials")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	login(t, file, "OLD")
	g := &gate{code: code}
	g.takes.Store("OLD")
	o := bucket.Options{Transport: g}
	bucket.SetWalkEvery(&o, every)
	c := buckettest.OpenWith(t, unsigned(), o)
	if _, err := c.StatBlob(t.Context(), digest.FromString("x")); err != nil {
		t.Fatal(err)
	}
	g.takes.Store("NEW")
	return c, g, file
}

// TestFileIsReadAgain is a login that ended, and was renewed by somebody: no request fails, whatever it is.
func TestFileIsReadAgain(t *testing.T) {
	large := buckettest.Bytes(100_000)
	for verb, ask := range map[string]func(ctx context.Context, c *bucket.Client) error{
		"head": func(ctx context.Context, c *bucket.Client) error {
			_, err := c.StatBlob(ctx, digest.FromString("x"))
			return err
		},
		"put": func(ctx context.Context, c *bucket.Client) error {
			return c.PutBlob(ctx, digest.FromBytes(large), bytes.NewReader(large), int64(len(large)))
		},
		"delete": func(ctx context.Context, c *bucket.Client) error { return c.DeleteName(ctx, "x") },
	} {
		for _, code := range []string{"ExpiredToken", "InvalidToken", "InvalidAccessKeyId"} {
			t.Run(verb+" "+code, func(t *testing.T) {
				c, g, file := renewable(t, code, time.Nanosecond)
				login(t, file, "NEW")
				if err := ask(t.Context(), c); err != nil {
					t.Error(err)
				}
				if g.refused.Load() != 1 || g.taken.Load() != 2 {
					t.Errorf("%d requests were refused and %d taken, want 1 and 2", g.refused.Load(), g.taken.Load())
				}
				if b, _ := g.body.Load().([]byte); verb == "put" && !bytes.Equal(b, large) {
					t.Errorf("%d other bytes were uploaded", len(b))
				}
			})
		}
	}
}

// TestFileIsReadOnceForAll is many requests that find at once that the credentials are over.
func TestFileIsReadOnceForAll(t *testing.T) {
	const many = 20
	c, g, file := renewable(t, "ExpiredToken", time.Hour/2)
	login(t, file, "NEW")
	c.ForgetWalk()
	group, ctx := errgroup.WithContext(t.Context())
	start := make(chan struct{})
	var ready sync.WaitGroup
	ready.Add(many)
	for range many {
		group.Go(func() error {
			ready.Done()
			<-start
			return c.DeleteName(ctx, "x")
		})
	}
	ready.Wait()
	close(start)
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if taken, refused := g.taken.Load(), g.refused.Load(); taken != many+1 || refused > many {
		t.Errorf("%d requests were taken and %d refused, want %d and at most %d", taken, refused, many+1, many)
	}
}

// TestFileIsNotReadAllTheTime: without a new login each request fails, once, with what to do.
func TestFileIsNotReadAllTheTime(t *testing.T) {
	c, g, _ := renewable(t, "ExpiredToken", time.Hour)
	for range 5 {
		if err := c.DeleteName(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "ExpiredToken") {
			t.Errorf("delete: %v", err)
		}
	}
	if n := g.refused.Load(); n != 5 {
		t.Errorf("%d requests, want 5", n)
	}
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "log in again") {
		t.Errorf("Check: %v", err)
	}
}
