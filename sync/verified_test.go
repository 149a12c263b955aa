package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// rot turns a bit over in a local copy, in the folder of what is warm or staged.
func (h *host) rot(folder string, d digest.Digest) {
	h.t.Helper()
	path := filepath.Join(h.dir, folder, "sha256", d.Encoded())
	must(h.t, os.Chmod(path, 0o600))
	b, err := os.ReadFile(path)
	must(h.t, err)
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // in place: one that is cut is no copy at all
	must(h.t, err)
	at := len(b) / 2
	_, err = f.WriteAt([]byte{b[at] ^ 1}, int64(at))
	must(h.t, errors.Join(err, f.Close()))
}

// rotOpen turns a bit over in a blob that was just fetched, wherever it is by now.
func (h *host) rotOpen(d digest.Digest) {
	h.t.Helper()
	f, err := h.o.Disk.Open(d)
	must(h.t, err)
	defer func() { must(h.t, f.Close()) }()
	path := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	must(h.t, f.Chmod(0o600))
	b, err := os.ReadFile(path)
	must(h.t, err)
	b[len(b)/2] ^= 1
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(h.t, err)
	_, err = w.WriteAt(b, 0)
	must(h.t, errors.Join(err, w.Close()))
}

func verifyReads(o *Options) { o.VerifyReads = true }

// wantRead reads a blob that is to be right, and to have been found wrong so often until now.
func (h *host) wantRead(content []byte, mismatches int64) {
	h.t.Helper()
	got, err := h.read(digest.FromBytes(content))
	must(h.t, err)
	if !bytes.Equal(got, content) {
		h.t.Error("wrong bytes are served")
	}
	if n := h.Status().Counters.Mismatches; n != mismatches {
		h.t.Errorf("%d mismatches are counted, want %d", n, mismatches)
	}
}

// TestRottenCopyIsFetchedAnew, however it came here, also while the download that brought it is kept.
func TestRottenCopyIsFetchedAnew(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, verifyReads)
	content := random(3<<20, 1)
	d := h.mustWrite(content)
	must(t, h.Flush(t.Context()))
	h.rot("blobs", d)
	h.wantRead(content, 1) // fetched
	h.awaitWarm(1)
	h.restart() // so that it is in its place
	h.rot("blobs", d)
	r, err := h.Open(t.Context(), d)
	must(t, err)
	if !r.Anew() {
		t.Error("it is not told that what is kept of the wrong copy is of no use")
	}
	must(t, r.Close())
	h.wantRead(content, 1)
	h.awaitWarm(1)
	h.rotOpen(d)
	h.wantRead(content, 2)
}

// TestRottenCopyWithoutTheBucket: an error, and never wrong bytes.
func TestRottenCopyWithoutTheBucket(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, verifyReads)
	d := h.mustWrite(random(10_000, 1))
	must(t, h.Flush(t.Context()))
	h.rot("blobs", d)
	b.failing(down)
	for range 2 {
		if _, err := h.read(d); !errors.Is(err, bucket.ErrUnreachable) {
			t.Errorf("read of a wrong copy in an outage: %v", err)
		}
	}
}

// TestRottenCopyIsNotUploaded: it stays, and is neither read nor sent.
func TestRottenCopyIsNotUploaded(t *testing.T) {
	b := newMemBucket()
	refused := errors.New("refused")
	b.failing(func(context.Context, string, string) error { return refused })
	h := newHost(t, b, func(o *Options) { o.VerifyReads, o.WriteBack = true, true })
	content := random(10_000, 1)
	d := h.mustWrite(content)
	if err := h.Flush(t.Context()); !errors.Is(err, refused) { // so that no attempt is under way any more
		t.Errorf("upload that is refused: %v", err)
	}
	h.rot("staged", d)
	b.failing(nil)
	if err := h.Flush(t.Context()); !errors.Is(err, disk.ErrMismatch) {
		t.Errorf("upload of a wrong copy: %v", err)
	}
	if _, err := h.read(d); !errors.Is(err, disk.ErrMismatch) {
		t.Errorf("read of a wrong copy: %v", err)
	}
	if state := h.o.Disk.Stat(d).State; state != disk.Staged {
		t.Errorf("the only copy is %v", state)
	}
	if _, err := b.StatBlob(t.Context(), d); err == nil {
		t.Error("it was uploaded")
	}
	h.mustWrite(content) // again
	must(t, h.Flush(t.Context()))
	h.wantRead(content, 1)
}
