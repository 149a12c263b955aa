package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/disk"
)

const (
	// segment is the most that one ranged request fetches, in chunks: large enough to make the round
	// trip small beside the transfer, small enough for several requests to share a link.
	segment = 4 << 20 / disk.ChunkSize
	// fetchTries is how often a ranged request that broke off is taken up again.
	fetchTries = 3
	// linger is how long a download outlives its last reader: BuildKit opens and closes a blob for
	// each MiB that it reads.
	linger = 10 * time.Second
)

// fetcher downloads blobs by chunks, each blob once for all its readers.
type fetcher struct {
	ctx    context.Context // ends all downloads; they outlive the readers that begin them
	bucket BlobBucket
	disk   *disk.Store
	log    *slog.Logger

	slots   chan struct{} // a place for every ranged request
	ahead   chan struct{} // fewer places for those that nobody waits for yet
	buffers sync.Pool     // of *[]byte, a chunk each
	bytes   atomic.Int64  // fetched

	warm  func(d digest.Digest, size int64) // a blob is complete and verified
	bad   func(d digest.Digest, err error)  // a blob could not be fetched, or is not what it claims
	asked func(d digest.Digest)             // a reader goes through a blob, and all of it was requested; called often

	mu   sync.Mutex // guards following and the downloads' refs; taken before a download's mu
	open map[digest.Digest]*download
}

// newFetcher begins with nothing open. The hooks are to be set before the first acquire.
func newFetcher(ctx context.Context, b BlobBucket, d *disk.Store, log *slog.Logger, slots int) *fetcher {
	return &fetcher{
		ctx: ctx, bucket: b, disk: d, log: log,
		slots:   make(chan struct{}, slots),
		ahead:   make(chan struct{}, max(1, slots-2)),
		buffers: sync.Pool{New: func() any { b := make([]byte, disk.ChunkSize); return &b }},
		open:    map[digest.Digest]*download{},
	}
}

// acquire returns the download of a blob, counted; release gives it back.
func (f *fetcher) acquire(d digest.Digest, size int64) (*download, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return nil, errClosed
	}
	if dl, ok := f.open[d]; ok {
		dl.refs++
		return dl, nil
	}
	part, err := f.disk.Part(d, size)
	if err != nil {
		return nil, fmt.Errorf("begin to fetch blob %s: %w", d, err)
	}
	dl := newDownload(f, d, part)
	f.open[d] = dl
	return dl, nil
}

// underWay is the download of a blob, counted; nil if there is none.
func (f *fetcher) underWay(d digest.Digest) *download {
	f.mu.Lock()
	defer f.mu.Unlock()
	dl := f.open[d]
	if dl != nil {
		dl.refs++
	}
	return dl
}

// release gives a download back; without readers it ends after a while.
func (f *fetcher) release(dl *download) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dl.refs--
	if dl.refs > 0 {
		return
	}
	dl.idle++
	idle := dl.idle
	time.AfterFunc(linger, func() { f.expire(dl, idle) })
}

// expire ends a download that nobody took up since it was idle for the given time.
func (f *fetcher) expire(dl *download, idle int) {
	f.mu.Lock()
	unused := dl.refs == 0 && dl.idle == idle
	if unused && f.open[dl.digest] == dl {
		delete(f.open, dl.digest)
	}
	f.mu.Unlock()
	if unused {
		f.end(dl)
	}
}

// drop lets the next reader begin anew.
func (f *fetcher) drop(dl *download) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[dl.digest] == dl {
		delete(f.open, dl.digest)
	}
}

func (f *fetcher) end(dl *download) {
	dl.ended.Do(func() {
		dl.stop()
		dl.wg.Wait()
		if err := dl.part.Close(); err != nil {
			f.log.Warn("close a partial blob", "blob", dl.digest, "err", err)
		}
	})
}

// close ends all downloads.
func (f *fetcher) close() {
	f.mu.Lock()
	open := f.open
	f.open = map[digest.Digest]*download{}
	f.mu.Unlock()
	for _, dl := range open {
		f.end(dl)
	}
}

// transfers lists the downloads in flight.
func (f *fetcher) transfers() []Transfer {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ts []Transfer
	for _, dl := range f.open {
		if t, ok := dl.transfer(); ok {
			ts = append(ts, t)
		}
	}
	return ts
}

// get fetches the chunks [from,to) of a download and hands each over as it comes.
func (f *fetcher) get(ctx context.Context, dl *download, from, to int) error {
	var err error
	for try := 0; try < fetchTries && from < to; try++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if from, err = f.stream(ctx, dl, from, to); errors.Is(err, iofs.ErrNotExist) {
			break
		}
	}
	if from < to {
		return fmt.Errorf("fetch blob %s: %w", dl.digest, err)
	}
	return nil
}

// stream is one ranged request; it returns the first chunk that did not come.
func (f *fetcher) stream(ctx context.Context, dl *download, from, to int) (int, error) {
	off := int64(from) * disk.ChunkSize
	body, err := f.bucket.OpenBlob(ctx, dl.digest, off, min(int64(to)*disk.ChunkSize, dl.part.Size())-off)
	if err != nil {
		return from, err
	}
	defer func() { _ = body.Close() }() // it was only read
	buf := f.buffers.Get().(*[]byte)
	defer f.buffers.Put(buf)
	for ; from < to; from++ {
		n := min(disk.ChunkSize, dl.part.Size()-int64(from)*disk.ChunkSize)
		b := (*buf)[:n]
		if _, err := io.ReadFull(body, b); err != nil {
			return from, fmt.Errorf("read bytes %d to %d: %w", int64(from)*disk.ChunkSize, int64(from)*disk.ChunkSize+n, err)
		}
		f.bytes.Add(n)
		if err := dl.part.WriteChunk(from, b); err != nil {
			return from, err
		}
		dl.arrived(from)
	}
	return from, nil
}
