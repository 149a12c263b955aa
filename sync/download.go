package sync

import (
	"context"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/disk"
)

const (
	// small blobs are fetched whole, in chunks.
	small = 4 << 20 / disk.ChunkSize
	// windowMin and windowMax bound the readahead of a sequential reader, in chunks. What is fetched
	// and not read is at most windowMax, or half of what was read in order: who has read so much reads on, and the
	// link is not to wait for him.
	windowMin = 4 << 20 / disk.ChunkSize
	windowMax = 32 << 20 / disk.ChunkSize
	// step is how far from where it was a reader may go on and still be one that goes through the blob in order, and
	// how much it reads before the window grows, in chunks.
	step = 1 << 20 / disk.ChunkSize
)

// download is the fetching of one blob. Readers say what they read; it decides what to request, ahead
// of a reader that goes through the blob in order, and wakes them as chunks arrive. Readahead belongs
// to the blob and not to a reader, because a client may open the blob anew for each piece.
type download struct {
	f      *fetcher
	digest digest.Digest
	part   *disk.Part
	ctx    context.Context // ends the requests; it outlives the readers that begin them
	cancel context.CancelFunc
	wg     sync.WaitGroup // requests
	ended  sync.Once

	refs int // readers; guarded by the fetcher's mu
	idle int // how often it had none

	mu        sync.Mutex // guards following; a leaf but for the part's own
	flying    map[int]bool
	failed    map[int]error
	changed   chan struct{} // closed and replaced when a chunk arrives or fails
	start     int           // where a sequential reader began
	next      int           // where he goes on
	window    int           // how far ahead of it is requested
	frontier  int           // up to where it was requested
	verifying bool
	verified  bool
	err       error // the blob is not what it claims, or the download was stopped
	stopped   bool
}

func newDownload(f *fetcher, d digest.Digest, part *disk.Part) *download {
	dl := &download{
		f: f, digest: d, part: part, refs: 1,
		flying: map[int]bool{}, failed: map[int]error{}, changed: make(chan struct{}),
	}
	dl.ctx, dl.cancel = context.WithCancel(f.ctx)
	return dl
}

// stop ends the requests; a reader that still waits gets an error.
func (dl *download) stop() {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	dl.stopped = true
	if dl.err == nil && !dl.verified {
		dl.err = errClosed
	}
	dl.cancel()
	dl.wake()
}

// readAt reads bytes, fetching them first where they are not there.
func (dl *download) readAt(ctx context.Context, p []byte, off int64) (int, error) {
	size := dl.part.Size()
	if off >= size {
		return 0, io.EOF
	}
	short := off+int64(len(p)) > size
	p = p[:min(int64(len(p)), size-off)]
	from, to := int(off/disk.ChunkSize), int((off+int64(len(p))+disk.ChunkSize-1)/disk.ChunkSize)
	dl.want(from, to)
	if err := dl.await(ctx, from, to); err != nil {
		return 0, err
	}
	n, err := dl.part.ReadAt(p, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// want requests the chunks [from,to) and, for a sequential reader, those after them. When all of the blob was
// requested so, what follows it is fetched.
func (dl *download) want(from, to int) {
	if dl.plan(from, to) {
		dl.f.asked(dl.digest)
	}
}

// plan says whether nothing is left to request.
func (dl *download) plan(from, to int) bool {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	if dl.stopped {
		return false
	}
	dl.request(from, to, true)
	dl.pace(from, to)
	// Going on in steps of half a window keeps the requests large.
	if end := min(to+dl.window, dl.part.Chunks()); dl.window > 0 && dl.frontier-to < dl.window/2 {
		dl.request(max(to, dl.frontier), end, false)
		dl.frontier = max(dl.frontier, end)
	}
	dl.verify()
	return dl.frontier == dl.part.Chunks()
}

// ahead begins to fetch the first chunks of a blob that nobody has opened yet.
func (dl *download) ahead(chunks int) {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	if !dl.stopped {
		dl.request(0, min(dl.part.Chunks(), chunks), false)
		dl.verify()
	}
}

// nearly returns when no more than one request is missing of a blob that is fetched, so that the link does not
// stand still before the next one. It says whether that has come.
func (dl *download) nearly(ctx context.Context) bool {
	for {
		dl.mu.Lock()
		left, stuck, changed := dl.part.Left(), dl.err != nil || len(dl.flying) == 0, dl.changed
		dl.mu.Unlock()
		if left <= segment || stuck {
			return left <= segment
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// isComing says whether all that is missing of a blob is on its way.
func (dl *download) isComing() bool {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	dl.verify()
	if dl.part.Left() > len(dl.flying) {
		return false
	}
	for _, r := range dl.part.Missing(0, dl.part.Chunks()) {
		for c := r.From; c < r.To; c++ {
			if !dl.flying[c] {
				return false
			}
		}
	}
	return !dl.stopped
}

// settled waits for a blob that is coming, unless much is missing, until it is complete and verified: from then
// on the kernel reads it, and each read through the daemon until then costs more than it waits. It says
// whether it is.
func (dl *download) settled(ctx context.Context) bool {
	return dl.part.Left() <= windowMax && dl.await(ctx, 0, dl.part.Chunks()) == nil
}

// pace grows the window while the reader goes on where it was, and shuts it when it jumps.
func (dl *download) pace(from, to int) {
	switch {
	case dl.part.Chunks() <= small:
		dl.window = small
	case from >= dl.next+step || from < dl.next-step:
		dl.window, dl.frontier, dl.start = 0, to, from
	case stepsTo(to) > stepsTo(dl.next):
		dl.window = min(max(2*dl.window, windowMin), max(windowMax, (to-dl.start)/2))
	}
	dl.next = to
	dl.frontier = max(dl.frontier, to)
}

// stepsTo is in which step a chunk ends.
func stepsTo(chunk int) int { return (chunk + step - 1) / step }

// request begins to fetch what of [from,to) is neither there nor under way.
func (dl *download) request(from, to int, demanded bool) {
	for _, r := range dl.part.Missing(from, to) {
		for at := r.From; at < r.To; {
			if dl.flying[at] {
				at++
				continue
			}
			end := at
			for end < r.To && end-at < segment && !dl.flying[end] {
				dl.flying[end] = true
				delete(dl.failed, end)
				end++
			}
			dl.fly(at, end, demanded)
			at = end
		}
	}
}

// fly fetches [from,to) in the background. What nobody waits for leaves places to what somebody does.
func (dl *download) fly(from, to int, demanded bool) {
	dl.wg.Go(func() {
		if !demanded {
			if !take(dl.ctx, dl.f.ahead) {
				dl.landed(from, to, context.Cause(dl.ctx))
				return
			}
			defer func() { <-dl.f.ahead }()
		}
		if !take(dl.ctx, dl.f.slots) {
			dl.landed(from, to, context.Cause(dl.ctx))
			return
		}
		defer func() { <-dl.f.slots }()
		dl.landed(from, to, dl.f.get(dl.ctx, dl, from, to))
	})
}

func take(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// arrived wakes the readers for a chunk.
func (dl *download) arrived(chunk int) {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	delete(dl.flying, chunk)
	dl.verify()
	dl.wake()
}

// landed ends a request; what of it did not arrive has failed.
func (dl *download) landed(from, to int, err error) {
	if err != nil && dl.ctx.Err() == nil {
		dl.f.bad(dl.digest, err)
	}
	dl.mu.Lock()
	defer dl.mu.Unlock()
	for c := from; c < to; c++ {
		if dl.flying[c] {
			delete(dl.flying, c)
			dl.failed[c] = err
		}
	}
	dl.wake()
}

func (dl *download) wake() {
	close(dl.changed)
	dl.changed = make(chan struct{})
}

// await returns when [from,to) can be read. As soon as all of a blob is there nothing more is given out
// before it was verified: a client that reads the whole, in whatever order, never gets wrong bytes.
func (dl *download) await(ctx context.Context, from, to int) error {
	for {
		dl.mu.Lock()
		ready, err := dl.ready(from, to)
		changed := dl.changed
		dl.mu.Unlock()
		if ready || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

func (dl *download) ready(from, to int) (bool, error) {
	if dl.err != nil {
		return false, dl.err
	}
	if missing := dl.part.Missing(from, to); len(missing) > 0 {
		return false, dl.failed[missing[0].From]
	}
	return dl.verified || !dl.part.Complete(), nil
}

// verify begins to verify the blob when all of it is there.
func (dl *download) verify() {
	if dl.verifying || !dl.part.Complete() {
		return
	}
	dl.verifying = true
	dl.wg.Go(func() {
		err := dl.part.Finish(dl.ctx) // it is made durable while the readers go on
		dl.mu.Lock()
		dl.verified = err == nil
		if dl.err == nil {
			dl.err = err
		}
		dl.wake()
		dl.mu.Unlock()
		switch {
		case dl.ctx.Err() != nil:
		case err != nil:
			dl.f.drop(dl)
			dl.f.bad(dl.digest, err)
		default:
			dl.f.warm(dl.digest, dl.part.Size())
		}
	})
}

// transfer tells how far it is, while it goes on.
func (dl *download) transfer() (Transfer, bool) {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	done := dl.part.Size()
	for _, r := range dl.part.Missing(0, dl.part.Chunks()) {
		done -= int64(r.To-r.From) * disk.ChunkSize
	}
	return Transfer{Digest: dl.digest, Done: max(done, 0), Size: dl.part.Size()}, len(dl.flying) > 0
}
