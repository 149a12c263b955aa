package fs

import (
	"context"
	"iter"

	"github.com/opencontainers/go-digest"
)

// Blobs is the pool of blobs that all layouts of a mount share. Errors wrap fs.ErrNotExist where
// there is no such blob; a syscall.Errno in the chain is what the caller sees.
type Blobs interface {
	// Stat returns the size of a blob that can be opened.
	Stat(ctx context.Context, d digest.Digest) (size int64, err error)
	// Open opens a blob for reading; nothing is downloaded yet.
	Open(ctx context.Context, d digest.Digest) (Blob, error)
	// Commit makes a blob of the local file at path, which is gone afterwards. An error leaves the
	// file where it is. For a manifest it returns only when everything it names is in the bucket.
	Commit(ctx context.Context, path string, d digest.Digest) error
	// Forget drops the local copy; a blob that no name reaches is hidden until it is committed again.
	Forget(ctx context.Context, d digest.Digest) error
	// All lists the blobs that a layout shows: for scope "" all that are known, for a name those
	// that its tags reach and the local ones that no name reaches.
	All(ctx context.Context, scope string) iter.Seq2[digest.Digest, error]
}

// Blob is a blob open for reading. If it also has a method PassthroughFd() (int, bool) that answers
// true, that file is complete and verified, and the kernel may read it itself.
type Blob interface {
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	Size() int64
	Close() error
}

// Names is the part of the bucket that index.json shows. A scope is "" for the root layout, else a name.
type Names interface {
	// Index renders the index.json of a scope, fresh as of --refresh.
	Index(ctx context.Context, scope string) ([]byte, error)
	// Publish applies what a writer changed between two versions of an index.json, name by name.
	Publish(ctx context.Context, scope string, before, after []byte) error
	// Children lists the directories below a scope: the next path components of the names beneath it.
	Children(ctx context.Context, scope string) ([]string, error)
	// Exists says whether there are names in a scope: one that is called so, or some beneath it.
	Exists(ctx context.Context, scope string) (bool, error)
	// Delete deletes a name (its index.json was removed); fs.ErrPermission unless deleting is allowed.
	Delete(ctx context.Context, scope string) error
}

// Scoped is what Blobs may be, too. Shows says whether a layout shows a blob of the pool that it did not
// write. Layers it shows, so that they are not sent twice; a manifest of other layouts it does not: a
// client that copies an artifact and finds its manifest there does not list it in its index.json.
type Scoped interface {
	Shows(ctx context.Context, scope string, d digest.Digest) bool
}

// Preparer is what Blobs may be, too: it is told of scratch that will probably be committed. Whatever it does, the
// file may change, become another blob, or none.
type Preparer interface {
	// Prepare is told of a scratch file that a writer has closed in the layout of a scope, and does ahead of Commit what
	// that would have to wait for; an error is left to Commit to report. The close waits for it. There is a reason:
	// Linux lets one rename between directories happen at a time in a whole file system, so what Commit waits for,
	// every other rename in the mount waits for too.
	Prepare(ctx context.Context, scope, path string)
	// Expect is told that a writer has opened a scratch file that is to be a blob of size bytes. It does not wait.
	Expect(path string, d digest.Digest, size int64)
}
