package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// errClosed is what a waiter gets whose upload did not begin before the engine was closed.
var errClosed = errors.New("layoutfs is stopping")

// retryMin and retryMax bound the pause before a failed upload is tried again with nobody waiting for it.
const (
	retryMin = time.Second
	retryMax = time.Minute
)

// uploader sends blobs, a few at a time, first come first served. A blob that failed is tried again
// after a pause, and at once when somebody waits for it. It forgets a blob when it was sent.
type uploader struct {
	send func(ctx context.Context, j *job) error
	log  *slog.Logger

	mu    sync.Mutex // guards following and the jobs' fields; not held while sending
	cond  *sync.Cond // something is queued, or the uploader stops
	jobs  map[digest.Digest]*job
	queue []*job
	stop  bool
	wg    sync.WaitGroup
}

// job is one blob that is to be sent.
type job struct {
	digest digest.Digest
	size   int64
	check  bool         // it may be in the bucket already: look first
	sent   atomic.Int64 // bytes, for display

	running bool
	queued  bool
	tries   int           // that failed
	done    chan struct{} // closed when the current attempt ends
	err     error         // of the last attempt
	retry   *time.Timer   // until the next attempt
}

func newUploader(ctx context.Context, workers int, log *slog.Logger, send func(context.Context, *job) error) *uploader {
	u := &uploader{send: send, log: log, jobs: map[digest.Digest]*job{}}
	u.cond = sync.NewCond(&u.mu)
	for range workers {
		u.wg.Go(func() { u.work(ctx) })
	}
	return u
}

// add begins to upload a blob, if that has not begun.
func (u *uploader) add(d digest.Digest, size int64, check bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.addLocked(d, size, check)
}

func (u *uploader) addLocked(d digest.Digest, size int64, check bool) *job {
	j, ok := u.jobs[d]
	if u.stop {
		j = &job{digest: d, done: make(chan struct{}), err: errClosed}
		close(j.done)
		return j
	}
	if !ok {
		j = &job{digest: d, size: size, check: check, done: make(chan struct{})}
		u.jobs[d] = j
	}
	if !j.running && !j.queued {
		u.enqueueLocked(j)
	}
	return j
}

func (u *uploader) enqueueLocked(j *job) {
	if j.retry != nil {
		j.retry.Stop()
		j.retry = nil
	}
	if j.tries > 0 {
		j.done = make(chan struct{})
	}
	j.queued = true
	u.queue = append(u.queue, j)
	u.cond.Signal()
}

// wait uploads a blob and returns the outcome of an attempt that ended after the call.
func (u *uploader) wait(ctx context.Context, d digest.Digest, size int64, check bool) error {
	u.mu.Lock()
	j := u.addLocked(d, size, check)
	done := j.done
	u.mu.Unlock()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for the upload of blob %s: %w", d, context.Cause(ctx))
	case <-done:
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return j.err
}

func (u *uploader) work(ctx context.Context) {
	for {
		j := u.next()
		if j == nil {
			return
		}
		u.finish(ctx, j, u.send(ctx, j))
	}
}

// next takes the oldest job of the queue; nil when the uploader stops.
func (u *uploader) next() *job {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.queue) == 0 && !u.stop {
		u.cond.Wait()
	}
	if u.stop {
		return nil
	}
	j := u.queue[0]
	u.queue = u.queue[1:]
	j.queued, j.running = false, true
	j.sent.Store(0)
	return j
}

func (u *uploader) finish(ctx context.Context, j *job, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	j.running, j.err = false, err
	close(j.done)
	if err == nil {
		delete(u.jobs, j.digest)
		return
	}
	j.tries++
	if ctx.Err() != nil || u.stop {
		return
	}
	after := min(retryMin<<min(j.tries-1, 10), retryMax)
	j.check = true // the reply may have been lost after the write
	u.log.Warn("upload failed, it will be tried again", "blob", j.digest, "size", j.size, "try", j.tries, "after", after, "err", err)
	j.retry = time.AfterFunc(after, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if j.retry != nil && !u.stop {
			u.enqueueLocked(j)
		}
	})
}

// rouse tries again at once what failed: the reason is gone.
func (u *uploader) rouse() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, j := range u.jobs {
		if j.retry != nil && !u.stop {
			u.enqueueLocked(j)
		}
	}
}

// pending lists the blobs that are not sent yet.
func (u *uploader) pending() []digest.Digest {
	u.mu.Lock()
	defer u.mu.Unlock()
	var ds []digest.Digest
	for d := range u.jobs {
		ds = append(ds, d)
	}
	return ds
}

// transfers lists the uploads in flight.
func (u *uploader) transfers() []Transfer {
	u.mu.Lock()
	defer u.mu.Unlock()
	var ts []Transfer
	for _, j := range u.jobs {
		if j.running {
			ts = append(ts, upload(j.digest, &j.sent, j.size))
		}
	}
	return ts
}

// close lets the workers end after their present blob; the context of newUploader ends that sooner.
func (u *uploader) close() {
	u.mu.Lock()
	u.stop = true
	for _, j := range u.jobs {
		if j.retry != nil {
			j.retry.Stop()
		}
		if j.queued {
			j.err = errClosed
			close(j.done)
		}
	}
	u.cond.Broadcast()
	u.mu.Unlock()
	u.wg.Wait()
}
