package sync

import (
	"context"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/disk"
)

const (
	// earlyFrom is from what size on, in bytes, a blob is not complete before the bucket has answered a request.
	earlyFrom = 16 << 20
	// lookEvery is how often a file is looked at that a client writes; the kernel writes it and tells nobody.
	lookEvery = 50 * time.Millisecond
	// idleFor is how long nothing may come of a file until what was sent of it is dropped.
	idleFor = time.Minute
)

// early are the uploads of what is still written.
type early struct {
	places chan struct{} // one for each

	mu  sync.Mutex // guards following; a leaf
	all map[*sending]struct{}
}

// sending is one of them, for display.
type sending struct {
	digest digest.Digest
	size   int64
	sent   atomic.Int64
}

func newEarly(places int) *early {
	return &early{places: make(chan struct{}, places), all: map[*sending]struct{}{}}
}

func (x *early) show(s *sending) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all[s] = struct{}{}
}

func (x *early) hide(s *sending) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.all, s)
}

// and adds to the transfers of other uploads those of which something was sent. Where the upload of the blob has taken
// over it is among the others.
func (x *early) and(others []Transfer) []Transfer {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := others
	for s := range x.all {
		t := upload(s.digest, &s.sent, s.size)
		if t.Done > 0 && !slices.ContainsFunc(others, func(o Transfer) bool { return o.Digest == t.Digest }) {
			all = append(all, t)
		}
	}
	return all
}

// Expect is told that a client writes the file at path, which is to be the blob d of size bytes. A large one is
// uploaded while it is written, if the bucket does not have it. Nothing depends on it: the file may become
// another blob, or none, and what is sent of it is compared with what is committed. Expect does not wait.
func (e *Engine) Expect(path string, d digest.Digest, size int64) {
	to, ok := e.o.Blobs.(AheadBucket)
	if !ok || size < earlyFrom || e.o.ReadOnly || !e.guard.up() || e.disk.Stat(d).State != disk.Absent {
		return
	}
	select {
	case e.early.places <- struct{}{}:
	default:
		return // the link has enough to do
	}
	f, err := os.Open(path)
	if err != nil {
		<-e.early.places
		return
	}
	e.background.run(func() {
		defer func() { <-e.early.places }()
		defer func() { _ = f.Close() }() // it was only read
		if a, err := e.presence.ask(e.ctx, d, rely); err == nil && !a.found {
			e.sendEarly(to, f, d, size)
		}
	})
}

// sendEarly uploads a file as it grows, until the upload of the blob takes over.
func (e *Engine) sendEarly(to AheadBucket, f *os.File, d digest.Digest, size int64) {
	ctx, cancel := context.WithCancel(e.ctx)
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	written := make(chan int64)
	following.Go(func() {
		follow(ctx, f, written, func() bool { return e.disk.Stat(d).State == disk.Staged })
	})
	s := &sending{digest: d, size: size}
	e.early.show(s)
	defer e.early.hide(s)
	if err := e.guard.putAhead(ctx, to, d, counted{f, &s.sent}, size, written); err != nil && ctx.Err() == nil {
		e.log.Info("a blob is not uploaded while it is written", "blob", d, "size", size, "err", err)
	}
}

// follow tells how large a file is, until it is removed, or nothing comes of it. One that waits for its turn to be
// uploaded is complete.
func follow(ctx context.Context, f *os.File, written chan<- int64, waits func() bool) {
	defer close(written)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	told, last := int64(0), time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var st syscall.Stat_t
		if err := syscall.Fstat(int(f.Fd()), &st); err != nil || st.Nlink == 0 {
			return
		}
		if st.Size > told {
			select {
			case written <- st.Size:
				told, last = st.Size, time.Now()
			case <-ctx.Done():
				return
			}
		}
		if time.Since(last) > idleFor && !waits() {
			return
		}
	}
}
