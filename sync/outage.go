package sync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

const (
	// patientTries is how often a request is made that meets one outage after the other.
	patientTries = 3
	// probeEvery and probeWithin are how often it is asked whether the bucket answers again, and for how
	// long.
	probeEvery  = time.Second
	probeWithin = 5 * time.Second
)

// outage is a time in which the bucket does not answer.
type outage struct {
	since time.Time
	err   error         // what was said last
	over  chan struct{} // closed at its end
}

// watch knows whether the bucket answers. While it does not, one request asks for that again and again,
// in place of all others.
type watch struct {
	ctx      context.Context // ends the probing
	probe    func(ctx context.Context) error
	ended    func() // is told of the end of an outage; no lock is held then
	patience time.Duration

	wg sync.WaitGroup // the probing

	mu       sync.Mutex // guards following; a leaf: nothing is called under it
	outage   *outage    // nil while the bucket answers
	answered time.Time  // when it did last
	closed   bool
}

func (w *watch) now() *outage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outage
}

// await returns when the bucket answers; with what was said of it when it has not answered for too long.
func (w *watch) await(ctx context.Context) error {
	for {
		o := w.now()
		if o == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-o.over:
		case <-time.After(w.patience - time.Since(o.since)):
			return w.said(o)
		}
	}
}

// seen takes the outcome of a request. A caller that gave up says nothing about the bucket, one whose
// deadline passed does, unless the bucket has just answered others: then there was too much to ask for.
func (w *watch) seen(ctx context.Context, err error) error {
	if err == nil {
		w.end()
		return nil
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return err
	case errors.Is(err, bucket.ErrUnreachable):
	case ctx.Err() != nil, errors.Is(err, bucket.ErrBusy):
		err = fmt.Errorf("%w: %w", bucket.ErrUnreachable, err)
		if ctx.Err() != nil && w.answers() {
			return err
		}
	default:
		w.end() // an answer, if not the one that was hoped for
		return err
	}
	w.begin(err)
	return err
}

// answers says whether the bucket has answered a moment ago.
func (w *watch) answers() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outage == nil && time.Since(w.answered) < probeEvery
}

func (w *watch) begin(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.outage == nil {
		o := &outage{since: time.Now(), over: make(chan struct{})}
		w.outage = o
		if !w.closed {
			w.wg.Go(func() { w.probing(o) })
		}
	}
	w.outage.err = err
}

func (w *watch) said(o *outage) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return o.err
}

func (w *watch) end() {
	w.mu.Lock()
	o := w.outage
	w.outage, w.answered = nil, time.Now()
	w.mu.Unlock()
	if o != nil {
		close(o.over)
		w.ended()
	}
}

// probing asks until the outage is over.
func (w *watch) probing(o *outage) {
	for w.now() == o {
		ctx, cancel := context.WithTimeout(w.ctx, probeWithin)
		_ = w.seen(ctx, w.probe(ctx)) // the outcome is noted
		cancel()
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(probeEvery):
		}
	}
}

// close waits for the probing, which the end of the context ends.
func (w *watch) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wg.Wait()
}

// nothing is a blob that is asked for to see whether the bucket answers: whether it is there does not
// matter.
const nothing digest.Digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
