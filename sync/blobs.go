package sync

import (
	"context"
	"iter"

	"github.com/opencontainers/go-digest"
)

// Reader is a blob open for reading. It has the methods of fs.Blob and PassthroughFd; the daemon
// adapts Open, whose result type differs.
type Reader struct{}

// ReadAt reads, fetching what is not there.
func (r *Reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) { return 0, errStub }

// Size of the blob in bytes.
func (r *Reader) Size() int64 { return 0 }

// PassthroughFd is the file descriptor of the complete local copy, if there is one.
func (r *Reader) PassthroughFd() (int, bool) { return -1, false }

// Close closes.
func (r *Reader) Close() error { return nil }

// Stat implements fs.Blobs.
func (e *Engine) Stat(ctx context.Context, d digest.Digest) (int64, error) { return 0, errStub }

// Open implements fs.Blobs but for its result type.
func (e *Engine) Open(ctx context.Context, d digest.Digest) (*Reader, error) { return nil, errStub }

// Commit implements fs.Blobs.
func (e *Engine) Commit(ctx context.Context, path string, d digest.Digest) error { return errStub }

// Forget implements fs.Blobs.
func (e *Engine) Forget(ctx context.Context, d digest.Digest) error { return errStub }

// All implements fs.Blobs.
func (e *Engine) All(ctx context.Context, scope string) iter.Seq2[digest.Digest, error] { return nil }

// Index implements fs.Names.
func (e *Engine) Index(ctx context.Context, scope string) ([]byte, error) { return nil, errStub }

// Publish implements fs.Names.
func (e *Engine) Publish(ctx context.Context, scope string, before, after []byte) error {
	return errStub
}

// Children implements fs.Names.
func (e *Engine) Children(ctx context.Context, scope string) ([]string, error) { return nil, errStub }

// Delete implements fs.Names.
func (e *Engine) Delete(ctx context.Context, scope string) error { return errStub }
