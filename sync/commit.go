package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// maxManifest is the largest file that is looked at as a manifest, in bytes. A cache of ten thousand
// layers has one of about 4 MiB.
const maxManifest = 64 << 20

// Commit makes a blob of the file at path: verified, staged, and uploaded from now on in the
// background. A manifest is different, it is the barrier: it is committed when every blob that it
// names is in the bucket (under write back: staged), and this is where a failed upload comes out.
// An error leaves the file where it is.
func (e *Engine) Commit(ctx context.Context, path string, d digest.Digest) error {
	b, err := readManifest(path, d)
	if err != nil {
		return fmt.Errorf("commit blob %s: %w", d, err)
	}
	if b != nil {
		err = e.commitManifest(ctx, path, d, b)
	} else {
		err = e.commitBlob(ctx, path, d)
	}
	if errors.Is(err, disk.ErrMismatch) {
		e.mismatches.Add(1)
	}
	if err != nil {
		return e.refuse(fmt.Errorf("commit blob %s: %w", d, err))
	}
	return nil
}

// refuse remembers a failure that a client is told of: its errno does not say what was wrong.
func (e *Engine) refuse(err error) error {
	e.guard.report(err)
	return err
}

// Prepare is told of a scratch file that was closed in the layout of a scope. If it is a manifest it waits at the
// barrier ahead of Commit, which then finds the outcome: what Commit waits for every other rename in the mount waits
// for too, a close disturbs nobody. And it begins to list the names of the scope, beside the manifest's upload: the
// client is about to open index.json. It is no harm if the file never becomes a blob.
func (e *Engine) Prepare(ctx context.Context, scope, path string) {
	b, err := readManifest(path, "")
	if err != nil || b == nil || e.o.ReadOnly || isIndexFile(b) {
		return
	}
	d := digest.FromBytes(b)
	err = e.barrier(ctx, d, b)
	switch {
	case err == nil:
		e.background.run(func() { _ = e.refresh(e.ctx, scope) }) // the open meets what is wrong once more, and says it
	case ctx.Err() == nil: // who gave up says nothing of the bucket
		e.outcomes.put(d, outcome{err: err})
	}
}

// isIndexFile says whether a document is the index.json of a layout, on its way to being renamed there:
// its entries have tags. To wait for everything that it names would be to wait for the whole bucket.
func isIndexFile(b []byte) bool {
	es, err := parseIndex(b)
	if err != nil {
		return false
	}
	for _, d := range es.by {
		if d.Annotations[ocispec.AnnotationRefName] != "" {
			return true
		}
	}
	return false
}

// readManifest returns the content of the file if it is a manifest with that digest (empty: any), else
// nil: what only looks like one is a blob like any other.
func readManifest(path string, d digest.Digest) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxManifest || !startsLikeJSON(path) {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil || !cacheconfig.IsManifest(b) {
		return nil, err
	}
	if d != "" && (!d.Algorithm().Available() || d.Algorithm().FromBytes(b) != d) {
		return nil, nil
	}
	if _, err := cacheconfig.ParseManifest(b); err != nil {
		return nil, nil
	}
	return b, nil
}

// startsLikeJSON keeps layers from being read whole for nothing.
func startsLikeJSON(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // it was only read
	head := make([]byte, 64)
	n, _ := f.Read(head)
	head = bytes.TrimLeft(head[:n], " \t\r\n")
	return len(head) > 0 && head[0] == '{'
}

func (e *Engine) commitBlob(ctx context.Context, path string, d digest.Digest) error {
	size, err := e.disk.Stage(ctx, path, d)
	if err != nil {
		return err
	}
	if err := e.kept(d, size); err != nil {
		return err
	}
	a, asked := e.presence.recall(d, rely)
	e.uploader.add(d, size, !asked || a.found)
	e.pending.came()
	return nil
}

// kept notes a complete local copy that was written here in the index, visible again if it was hidden.
func (e *Engine) kept(d digest.Digest, size int64) error {
	return e.index.UpdateBlob(d, func(b *index.Blob) {
		b.Size = size
		b.Where = b.Where&^index.Hidden | index.Local
	})
}

// commitManifest commits a manifest that passes the barrier. One that is written before its blobs is a blob like
// any other: when it is published, they must be there.
func (e *Engine) commitManifest(ctx context.Context, path string, d digest.Digest, b []byte) error {
	err := e.outcomes.failed(d)
	if errors.Is(err, bucket.ErrUnreachable) && e.guard.up() {
		err = nil // that is over: a client whose rename did not come so far is back with what it had written
	}
	if err == nil {
		err = e.barrier(ctx, d, b)
	}
	if err == nil && !e.o.WriteBack {
		// The manifest goes up before it is committed, so that a failure leaves the file where it is.
		if err = e.guard.PutBlob(ctx, d, bytes.NewReader(b), int64(len(b))); err == nil {
			return e.commitSent(ctx, path, d, int64(len(b)))
		}
	}
	if err == nil || errors.Is(err, errNotYet) || e.ignores(err) {
		return e.commitBlob(ctx, path, d)
	}
	return err
}

// commitSent commits a manifest that is in the bucket already.
func (e *Engine) commitSent(ctx context.Context, path string, d digest.Digest, size int64) error {
	e.uploadedBytes.Add(size)
	e.uploadedBlobs.Add(1)
	if _, err := e.disk.Stage(ctx, path, d); err != nil {
		return err
	}
	if err := e.sentNow(d, size); err != nil {
		return err
	}
	e.settle(d)
	e.pending.came()
	return e.kept(d, size)
}

// send uploads one staged blob; it is what the uploader's workers do.
func (e *Engine) send(ctx context.Context, j *job) error {
	if e.disk.Stat(j.digest).State != disk.Staged {
		return nil // it went up another way
	}
	if j.check {
		// Not the remembered answer: what is asked for is whether a lost reply was a success.
		if obj, err := e.guard.StatBlob(ctx, j.digest); err == nil && obj.Size == j.size {
			return e.sentNow(j.digest, j.size)
		}
	}
	f, err := e.local(ctx, j.digest)
	if err != nil {
		return fmt.Errorf("upload blob %s: %w", j.digest, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	if err := e.guard.PutBlob(ctx, j.digest, counted{f, &j.sent}, j.size); err != nil {
		return err
	}
	e.uploadedBytes.Add(j.size)
	e.uploadedBlobs.Add(1)
	return e.sentNow(j.digest, j.size)
}

// sentNow notes that a staged blob is in the bucket.
func (e *Engine) sentNow(d digest.Digest, size int64) error {
	if err := e.disk.Promote(d); err != nil {
		return fmt.Errorf("blob %s is uploaded: %w", d, err)
	}
	if e.hidden(d) {
		if err := e.disk.Remove(d); err != nil {
			return fmt.Errorf("blob %s was removed: %w", d, err)
		}
	}
	_, err := e.presence.found(d, size, time.Now())
	return err
}
