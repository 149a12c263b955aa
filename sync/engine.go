package sync

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/tag"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// Options of Open.
//
// Patience: a server that is restarted should cost no build its cache. Later into an outage requests fail
// at once, so that a build whose bucket is gone waits once and not at each of its blobs.
type Options struct {
	Blobs BlobBucket
	Names NameBucket
	Disk  *disk.Store
	Index *index.Index

	Configured []string // the names of the CSV: they are the tag "latest" of the root layout; the first is read

	WriteBack   bool // acknowledge what is staged, not what is published
	IgnoreError bool // do the same when the bucket fails, instead of telling the client
	ReadOnly    bool // never write to the bucket
	AllowDelete bool // dropping a tag deletes the name
	Offline     bool // never touch the network
	VerifyReads bool // hash a local copy before it is read, if that was not done in the last minutes

	Refresh      time.Duration // how old what index.json shows may be; default 1 s
	TouchRefresh time.Duration // blobs older than this are touched when they are published again; default 24 h
	Patience     time.Duration // how long into an outage requests wait for its end; default 20 s
	Uploads      int           // blobs uploaded at once; default 4
	Downloads    int           // ranged requests at once; default 16

	Log *slog.Logger
}

// The defaults of Options.
const (
	DefaultRefresh      = time.Second
	DefaultTouchRefresh = 24 * time.Hour
	DefaultPatience     = 20 * time.Second
	DefaultUploads      = 4
	DefaultDownloads    = 16
	defaultName         = "buildkit"
)

func (o Options) withDefaults() Options {
	if len(o.Configured) == 0 {
		o.Configured = []string{defaultName}
	}
	if o.Refresh <= 0 {
		o.Refresh = DefaultRefresh
	}
	if o.TouchRefresh <= 0 {
		o.TouchRefresh = DefaultTouchRefresh
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Uploads <= 0 {
		o.Uploads = DefaultUploads
	}
	if o.Downloads <= 0 {
		o.Downloads = DefaultDownloads
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Engine moves the blobs and names of one mount between local disk and bucket.
type Engine struct {
	o        Options
	log      *slog.Logger
	disk     *disk.Store
	index    *index.Index
	guard    *guard
	presence *presence
	uploader *uploader
	fetcher  *fetcher
	catalog  *catalog
	layouts  layouts
	objects  objects
	chains   chains
	outcomes outcomes
	pending  pending
	turns    turns // with a name, to publish or delete it
	tags     tag.Names
	early    *early

	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	background background

	uploadedBytes, uploadedBlobs atomic.Int64
	fetchedBlobs                 atomic.Int64
	published, mismatches        atomic.Int64
}

// Open recovers the upload queue from local disk and starts the workers. ctx ends them as Close does.
func Open(ctx context.Context, o Options) (*Engine, error) {
	o = o.withDefaults()
	e := &Engine{
		o: o, log: o.Log, disk: o.Disk, index: o.Index,
		catalog: newCatalog(), objects: newObjects(),
		pending: pending{docs: map[string][]byte{}, wake: make(chan struct{}, 1)},
		tags:    o.Configured,
		early:   newEarly(o.Uploads),
	}
	e.ctx, e.cancel = context.WithCancel(ctx)
	e.guard = newGuard(e.ctx, o, e.answers)
	e.presence = newPresence(e.guard, o.Index, func(f func(context.Context)) { e.background.run(func() { f(e.ctx) }) })
	e.fetcher = newFetcher(e.ctx, e.guard, o.Disk, o.Log, o.Downloads)
	e.fetcher.warm, e.fetcher.bad, e.fetcher.asked = e.fetched, e.notFetched, e.fetchAfter
	e.uploader = newUploader(e.ctx, o.Uploads, o.Log, e.send)
	e.index.Recall(e.recall)
	if err := errors.Join(e.loadNames(), e.recover()); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// answers goes on with what waits, because the bucket answers again.
func (e *Engine) answers() {
	e.log.Info("the bucket answers again")
	e.uploader.rouse()
	e.pending.rouse()
	e.dropUnfinished()
}

// Close stops the workers. It does not drain: what is staged stays staged.
func (e *Engine) Close() error {
	e.cancel()
	e.guard.watch.close()
	e.uploader.close()
	e.fetcher.close()
	e.background.close()
	return nil
}

// fetched notes a blob that is complete and verified now.
func (e *Engine) fetched(d digest.Digest, size int64) {
	e.fetchedBlobs.Add(1)
	err := e.index.UpdateBlob(d, func(b *index.Blob) {
		b.Size = size
		b.Where |= index.Local
	})
	if err != nil {
		e.log.Warn("note a blob in the index", "blob", d, "err", err)
	}
}

// notFetched notes a blob that could not be fetched or is not what it claims.
func (e *Engine) notFetched(d digest.Digest, err error) {
	switch {
	case errors.Is(err, disk.ErrMismatch):
		e.mismatches.Add(1)
	case isNotExist(err):
		if err := e.presence.missing(d); err != nil {
			e.log.Warn("note a missing blob in the index", "blob", d, "err", err)
		}
		e.catalog.doubtAll()
	}
	e.log.Error("fetch blob", "blob", d, "err", err)
	e.guard.report(err)
}

// Flush returns when nothing is staged, no name waits for publication, and old blobs are touched. When ctx ends first, or an
// upload fails, the error says why, and Status what remains; it is tried again in the background.
func (e *Engine) Flush(ctx context.Context) error {
	var errs []error
	for _, d := range e.uploader.pending() {
		if local := e.disk.Stat(d); local.State == disk.Staged {
			if err := e.uploader.wait(ctx, d, local.Size, false); err != nil {
				errs = append(errs, err)
				break // one reason is enough
			}
		}
	}
	if len(errs) == 0 {
		errs = append(errs, e.publishPending(ctx), e.background.await(ctx))
	}
	return errors.Join(errs...)
}

// Failed has Status tell of an error that a client was told as EIO: it may come from local disk alone.
func (e *Engine) Failed(err error) { e.guard.note(err) }

// Status reports what the engine holds and does.
func (e *Engine) Status() Status {
	u := e.disk.Usage()
	up, last := e.guard.state()
	return Status{
		Names:       e.catalog.count(),
		Broken:      e.catalog.broken(),
		Unreadable:  e.catalog.unreadable(),
		Large:       e.catalog.warnings(),
		Staged:      Count{Blobs: u.StagedBlobs, Bytes: u.StagedBytes},
		Warm:        Count{Blobs: u.WarmBlobs, Bytes: u.WarmBytes},
		Partial:     Count{Blobs: u.PartialBlobs, Bytes: u.PartialBytes},
		Pending:     len(e.pending.all()),
		Uploading:   e.early.and(e.uploader.transfers()),
		Downloading: e.fetcher.transfers(),
		Counters: Counters{
			FetchedBytes: e.fetcher.bytes.Load(), FetchedBlobs: e.fetchedBlobs.Load(),
			UploadedBytes: e.uploadedBytes.Load(), UploadedBlobs: e.uploadedBlobs.Load(),
			Requests: e.guard.requests.Load(), Published: e.published.Load(),
			Mismatches: e.mismatches.Load() + u.Rotten, Evicted: u.Evicted, Errors: e.guard.errors.Load(),
		},
		BucketUp:  up,
		LastError: last,
	}
}

// counted counts the bytes that are read, for display.
type counted struct {
	r    io.ReaderAt
	sent *atomic.Int64
}

// upload is a transfer of which so much was read. What goes up in parts without TLS is read twice, to sign it first.
func upload(d digest.Digest, read *atomic.Int64, size int64) Transfer {
	return Transfer{Digest: d, Done: min(read.Load(), size), Size: size}
}

func (c counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.sent.Add(int64(n))
	return n, err
}
