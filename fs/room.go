package fs

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// lookAgain is how often the room is looked at while the kernel writes scratch itself.
	lookAgain = 100 * time.Millisecond
	// lead is what it may write until then: so much is made free ahead of it.
	lead = 256 << 20
)

// room is asked for what scratch takes of the local disk: before each write of the daemon, and now and then
// while the kernel writes.
type room struct {
	admits func(n int64) error
	ample  func() bool

	mu      sync.Mutex // guards following; a leaf
	writers int        // handles through which the kernel writes
	ended   chan struct{}
}

// isAmple says whether the kernel may begin to write scratch itself.
func (r *room) isAmple() bool { return r.ample != nil && r.ample() }

// begin notes a handle through which the kernel writes; end ends it. The mount ends with ctx.
func (r *room) begin(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writers++; r.writers == 1 && r.admits != nil {
		r.ended = make(chan struct{})
		go r.watch(ctx, r.ended)
	}
}

func (r *room) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writers--; r.writers == 0 && r.ended != nil {
		close(r.ended)
	}
}

// watch has room made ahead of the kernel. Where none is left to make, who writes is told when he wants to know
// (scratchHandle.behind), and new handles are written for by the daemon.
func (r *room) watch(ctx context.Context, ended <-chan struct{}) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = r.admits(lead) // told to who writes
		}
	}
}

// admit asks for room if a file of scratch is to reach the offset end.
func (t *tree) admit(f *os.File, end int64) syscall.Errno {
	info, err := f.Stat()
	if err != nil {
		return t.fail(context.Background(), "stat", localPath(f.Name()), err)
	}
	if n := end - info.Size(); n > 0 {
		return t.admitBytes(n)
	}
	return 0
}

func (t *tree) admitBytes(n int64) syscall.Errno {
	if t.room.admits == nil {
		return 0
	}
	err := t.room.admits(n)
	if err == nil {
		return 0
	}
	t.log.Warn("a write to scratch is refused", "bytes", n, "err", err)
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.ENOSPC
}
