package sync

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/sync/disk"
)

var errStub = errors.New("not built yet")

// Options of Open.
type Options struct {
	Blobs BlobBucket
	Names NameBucket
	Disk  *disk.Store
	Index *index.Index

	Configured []string // the names of the CSV: they are the tag "latest" of the root layout; the first is read

	WriteBack   bool // acknowledge what is staged, not what is published
	ReadOnly    bool // never write to the bucket
	AllowDelete bool // dropping a tag deletes the name
	Offline     bool // never touch the network

	Refresh      time.Duration // how old what index.json shows may be; default 1 s
	TouchRefresh time.Duration // blobs older than this are touched when they are published again; default 24 h
	Uploads      int           // blobs uploaded at once; default 4
	Downloads    int           // ranged requests at once; default 16

	Log *slog.Logger
}

// Engine moves the blobs and names of one mount between local disk and bucket.
type Engine struct{}

// Open recovers the upload queue from local disk and starts the workers.
func Open(ctx context.Context, o Options) (*Engine, error) { return nil, errStub }

// Close stops the workers. It does not drain: what is staged stays staged.
func (e *Engine) Close() error { return errStub }

// Flush returns when nothing is staged and no name waits for publication. When ctx ends first, or an
// upload fails for good, the error says what remains and why.
func (e *Engine) Flush(ctx context.Context) error { return errStub }

// Status reports what the engine holds and does.
func (e *Engine) Status() Status { return Status{} }
