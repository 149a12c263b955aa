// Package disk keeps blobs on local disk.
package disk

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
)

var errStub = errors.New("not built yet")

// State says what a local copy of a blob is.
type State int

// The states of a local copy.
const (
	Absent  State = iota // nothing local
	Partial              // some chunks of the blob, from the bucket
	Warm                 // complete, verified, a copy of what the bucket has
	Staged               // complete, verified, fsynced, not known to be in the bucket
)

// ErrMismatch: the bytes do not hash to the digest they were offered under.
var ErrMismatch = errors.New("content does not match its digest")

// BusyError: another daemon holds the cache directory.
type BusyError struct {
	Dir string
	PID int // 0 if unknown
}

func (e *BusyError) Error() string { return "stub" }

// Options of Open.
type Options struct {
	CacheSize int64 // bytes that warm and partial blobs may take; 0 means no limit
	MinFree   int64 // bytes of the file system to leave free
	Log       *slog.Logger
}

// Usage is what the cache directory holds now.
type Usage struct {
	StagedBytes, WarmBytes, PartialBytes int64
	StagedBlobs, WarmBlobs, PartialBlobs int
	Evicted                              int64 // bytes evicted since start
}

// Info describes the local copy of one blob.
type Info struct {
	Digest digest.Digest
	State  State
	Size   int64     // of the blob
	Used   time.Time // last use
}

// Store is one cache directory, owned by one process.
type Store struct{}

// Open locks the directory, sweeps stale scratch, and scans what is there.
func Open(dir string, o Options) (*Store, error) { return nil, errStub }

// Close releases the lock.
func (s *Store) Close() error { return errStub }

// Scratch is the folder for clients' temporary files; on the same file system as the blobs.
func (s *Store) Scratch() string { return "" }

// IndexDir is the folder of the index.
func (s *Store) IndexDir() string { return "" }

// Stat tells about the local copy of d without touching its recency.
func (s *Store) Stat(d digest.Digest) Info { return Info{} }

// Open opens the complete local copy (warm or staged) for reading and marks it used; an error
// wrapping fs.ErrNotExist when there is none.
func (s *Store) Open(d digest.Digest) (*os.File, error) { return nil, errStub }

// Stage verifies the file at path (a scratch file) against d, fsyncs it, and moves it to staged/.
// On ErrMismatch the file is left where it is. A copy that is there already is kept and path removed.
func (s *Store) Stage(ctx context.Context, path string, d digest.Digest) (size int64, err error) {
	return 0, errStub
}

// StageBytes stages content that did not come from a scratch file.
func (s *Store) StageBytes(ctx context.Context, b []byte, d digest.Digest) error { return errStub }

// Promote turns a staged blob into a warm one: it is in the bucket now.
func (s *Store) Promote(d digest.Digest) error { return errStub }

// Demote turns a warm blob into a staged one: it turned out to be gone from the bucket.
func (s *Store) Demote(d digest.Digest) error { return errStub }

// Remove drops the warm and partial copies of d; staged copies stay. Removing what is not there is no error.
func (s *Store) Remove(d digest.Digest) error { return errStub }

// Touch sets the recency of d (for restoring it from the index at start).
func (s *Store) Touch(d digest.Digest, t time.Time) {}

// All lists the local copies.
func (s *Store) All() iter.Seq[Info] { return nil }

// Usage reports totals.
func (s *Store) Usage() Usage { return Usage{} }

// PutPending durably records a small document under a name in staged/names/ (write-back publications).
func (s *Store) PutPending(name string, doc []byte) error { return errStub }

// Pending lists the recorded documents.
func (s *Store) Pending() (map[string][]byte, error) { return nil, errStub }

// RemovePending forgets one if its content is still doc.
func (s *Store) RemovePending(name string, doc []byte) error { return errStub }

// ChunkSize is the granularity of a partial blob's map, in bytes.
const ChunkSize = 1 << 20

// Range is a half-open range of chunk numbers.
type Range struct{ From, To int }

// Part is an open partial blob; all methods are safe for concurrent use. One Part per digest is
// open at a time: Store.Part returns the same one to every caller, counted.
type Part struct{}

// Part opens (or begins) the partial copy of d; the space for it is reserved first (eviction, ENOSPC).
func (s *Store) Part(d digest.Digest, size int64) (*Part, error) { return nil, errStub }

// Size of the whole blob.
func (p *Part) Size() int64 { return 0 }

// Chunks is the number of chunks.
func (p *Part) Chunks() int { return 0 }

// Has says whether a chunk is there.
func (p *Part) Has(chunk int) bool { return false }

// Missing lists the ranges of chunks in [from,to) that are not there.
func (p *Part) Missing(from, to int) []Range { return nil }

// WriteChunk stores one whole chunk (the last may be short) and marks it.
func (p *Part) WriteChunk(chunk int, b []byte) error { return errStub }

// ReadAt reads bytes whose chunks are there.
func (p *Part) ReadAt(b []byte, off int64) (int, error) { return 0, errStub }

// Complete says whether all chunks are there.
func (p *Part) Complete() bool { return false }

// Finish verifies a complete part and turns it into a warm blob; on ErrMismatch the partial copy is
// dropped. Idempotent: after success, again nil.
func (p *Part) Finish(ctx context.Context) error { return errStub }

// Close gives the Part back; the partial copy stays on disk.
func (p *Part) Close() error { return errStub }
