package bucket

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/time/rate"
)

// throttle is a RoundTripper that keeps to Limits.
type throttle struct {
	next               http.RoundTripper
	requests, up, down *rate.Limiter
}

// throttle is next under the limits of l.
func (l Limits) throttle(next http.RoundTripper) http.RoundTripper {
	if l == (Limits{}) {
		return next
	}
	return &throttle{next: next, requests: limiter(int64(l.Requests)), up: limiter(l.Upload), down: limiter(l.Download)}
}

// limiter allows a number of things per second, of which a twentieth may come at once; 0: any.
func limiter(perSecond int64) *rate.Limiter {
	if perSecond == 0 {
		return rate.NewLimiter(rate.Inf, 1<<30)
	}
	return rate.NewLimiter(rate.Limit(perSecond), int(max(1, min(perSecond/20, 1<<30))))
}

// RoundTrip implements http.RoundTripper.
func (t *throttle) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	if err := wait(ctx, t.requests, 1); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	if r.Body != nil && r.Body != http.NoBody {
		r = r.WithContext(ctx) // a copy: a request is not ours to change
		r.Body = &paced{ReadCloser: r.Body, ctx: ctx, pace: t.up}
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &paced{ReadCloser: resp.Body, ctx: ctx, pace: t.down}
	return resp, nil
}

// wait waits for a turn. A context that would end before it comes is no matter of the network.
func wait(ctx context.Context, l *rate.Limiter, n int) error {
	switch err := l.WaitN(ctx, n); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return localError{fmt.Errorf("kept back by upload_limit, download_limit or request_limit: %w", err)}
	}
	return nil
}

// paced is a body that is read no faster than its pace.
type paced struct {
	io.ReadCloser
	ctx  context.Context
	pace *rate.Limiter
}

func (b *paced) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.pace.Burst())])
	if late := wait(b.ctx, b.pace, n); late != nil {
		return n, late
	}
	return n, err
}
