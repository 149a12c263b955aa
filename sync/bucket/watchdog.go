package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// watchdog is a RoundTripper that ends a request that makes no progress: no byte of the body taken for
// stall, no answer for header after the body was sent, no byte of the answer for stall while somebody
// reads it. The time that the body's own reader takes, or that nobody reads the answer, does not count.
type watchdog struct {
	next          http.RoundTripper
	header, stall time.Duration
}

// stalledError says what did not happen in time. The SDK's retryer tries that again, unless the caller does.
type stalledError struct {
	what  string
	limit time.Duration
	final bool
}

func (e *stalledError) Error() string { return fmt.Sprintf("%s for %v", e.what, e.limit) }
func (*stalledError) Timeout() bool   { return true }
func (*stalledError) Temporary() bool { return true }

// RetryableError is asked by the SDK's retryer.
func (e *stalledError) RetryableError() bool { return !e.final }

// onceKey is the context's key for requests that are not tried again when they stall.
type onceKey struct{}

// StallsOnce has a request that stalls fail at once, for callers that know better when to try again: a
// server that hangs would be waited for by each attempt anew.
func StallsOnce(ctx context.Context) context.Context {
	return context.WithValue(ctx, onceKey{}, true)
}

// slowKey is the context's key for the time that a request's answer may take.
type slowKey struct{}

// slow allows the server limit until it answers: for copies, which it works on before it does.
func slow(ctx context.Context, limit time.Duration) context.Context {
	return context.WithValue(ctx, slowKey{}, limit)
}

// RoundTrip implements http.RoundTripper.
func (w *watchdog) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	limit, _ := ctx.Value(slowKey{}).(time.Duration)
	header, stall := max(w.header, limit), max(w.stall, limit)
	g := &gauge{cancel: cancel, final: ctx.Value(onceKey{}) != nil}
	out := r.WithContext(ctx)
	if r.Body == nil || r.Body == http.NoBody {
		g.arm(sending, "no answer", header)
	} else {
		g.arm(sending, "no byte of the request was taken", w.stall)
		// What is still in the kernel's buffers when the last byte was taken has to go out first.
		out.Body = &sentBody{ReadCloser: r.Body, gauge: g, left: r.ContentLength, stall: w.stall, header: header + w.stall}
	}
	resp, err := w.next.RoundTrip(out)
	g.answered()
	if err != nil {
		err = explain(ctx, err)
		cancel(nil)
		return nil, err
	}
	resp.Body = &receivedBody{ReadCloser: resp.Body, ctx: ctx, gauge: g, stall: stall}
	return resp, nil
}

// explain puts the cause in the place of the "context canceled" that it brought about.
func explain(ctx context.Context, err error) error {
	if stalled, ok := errors.AsType[*stalledError](context.Cause(ctx)); ok {
		return stalled
	}
	return err
}

// phase is how far a request is.
type phase int

const (
	sending phase = iota
	receiving
)

// gauge is the timer of one request.
type gauge struct {
	cancel context.CancelCauseFunc
	final  bool // the error is

	mu    sync.Mutex // guards following; a leaf
	phase phase
	what  string
	limit time.Duration
	timer *time.Timer
}

// arm begins to wait for what, in place of whatever was awaited. A server may answer before it took the
// whole body: what the sender then still has to say comes too late and is not heard.
func (g *gauge) arm(p phase, what string, limit time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p != g.phase {
		return
	}
	g.what, g.limit = what, limit
	if g.timer == nil {
		g.timer = time.AfterFunc(limit, g.expire)
		return
	}
	g.timer.Reset(limit)
}

func (g *gauge) disarm(p phase) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p == g.phase {
		g.timer.Stop()
	}
}

func (g *gauge) answered() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.phase = receiving
	g.timer.Stop()
}

func (g *gauge) expire() {
	g.mu.Lock()
	stalled := &stalledError{g.what, g.limit, g.final}
	g.mu.Unlock()
	g.cancel(stalled)
}

// sentBody is the body of a request under way.
type sentBody struct {
	io.ReadCloser
	gauge         *gauge
	left          int64 // bytes; negative: unknown
	stall, header time.Duration
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.gauge.disarm(sending)
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if err != nil || b.left == 0 {
		b.gauge.arm(sending, "no answer", b.header)
	} else {
		b.gauge.arm(sending, "no byte of the request was taken", b.stall)
	}
	return n, err
}

// receivedBody is the body of an answer under way.
type receivedBody struct {
	io.ReadCloser
	ctx   context.Context
	gauge *gauge
	stall time.Duration
}

func (b *receivedBody) Read(p []byte) (int, error) {
	b.gauge.arm(receiving, "no byte of the answer came", b.stall)
	n, err := b.ReadCloser.Read(p)
	b.gauge.disarm(receiving)
	if err != nil && !errors.Is(err, io.EOF) {
		err = explain(b.ctx, err)
	}
	return n, err
}

func (b *receivedBody) Close() error {
	b.gauge.cancel(nil)
	return b.ReadCloser.Close()
}
