package fs

import (
	"context"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestBlobsThatWaitForPublication holds that a client which collects garbage in one layout, or in the root,
// takes nothing from an export to another that is under way; and that it may, when that has ended.
func TestBlobsThatWaitForPublication(t *testing.T) {
	for _, tc := range []struct {
		name    string
		write   func(t *testing.T, r *rig, content []byte)
		publish bool
		remover string // scope
		want    bool   // that the blob stays
	}{
		{name: "another layout", write: createBlob, remover: "b", want: true},
		{name: "the root", write: createBlob, remover: "", want: true},
		{name: "a layout beneath it", write: createBlob, remover: "a/c", want: true},
		{name: "written by rename", write: ingestBlob, remover: "b", want: true},
		{name: "written over", write: overwriteBlob, remover: "b", want: true},
		{name: "the same layout", write: createBlob, remover: "a"},
		{name: "published since", write: createBlob, publish: true, remover: "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := testMount(t)
			for _, scope := range []string{"a", "a/c", "b"} {
				beginStore(t, r.path(scope))
			}
			content := randomly(1000)
			d := digest.FromBytes(content)
			tc.write(t, r, content)
			if tc.publish {
				put(t, r.path("a", indexFile), []byte(indexOf("one")))
			}
			must(t, os.Remove(r.blob(d, tc.remover)))
			if got := r.blobs.has(d); got != tc.want {
				t.Errorf("the blob is there: %v, want %v", got, tc.want)
			}
			if !tc.want {
				return
			}
			wantContent(t, r.blob(d, "a"), content)
			must(t, os.Remove(r.blob(d, "a")))
			if r.blobs.has(d) {
				t.Error("the layout that wrote it could not remove it")
			}
		})
	}
}

func createBlob(t *testing.T, r *rig, content []byte) {
	t.Helper()
	put(t, r.blob(digest.FromBytes(content), "a"), content)
}

func ingestBlob(t *testing.T, r *rig, content []byte) {
	t.Helper()
	ingested(t, r.path("a"), content)
}

func overwriteBlob(t *testing.T, r *rig, content []byte) {
	t.Helper()
	r.blobs.add(t, content)
	createBlob(t, r, content)
}

// scoped shows a blob in one layout only.
type scoped struct {
	*fakeBlobs
	only digest.Digest
	in   string
}

func (s scoped) Shows(_ context.Context, scope string, d digest.Digest) bool {
	return d != s.only || scope == s.in
}

// TestBlobOfAnotherLayout holds that what a layout does not show can be written to it, and is there then.
func TestBlobOfAnotherLayout(t *testing.T) {
	content := randomly(100)
	d := digest.FromBytes(content)
	r := testMount(t, func(o *Options) { o.Blobs = scoped{o.Blobs.(*fakeBlobs), d, "a"} })
	beginStore(t, r.path("a"))
	beginStore(t, r.path("b"))
	r.blobs.add(t, content)
	wantContent(t, r.blob(d, "a"), content)
	_, err := os.Stat(r.blob(d, "b"))
	wantErrno(t, "stat what another layout has", err, syscall.ENOENT)

	put(t, r.blob(d, "b"), content)
	wantContent(t, r.blob(d, "b"), content)
}

func TestWritersForgetInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writers
		d := digest.FromString("blob")
		w.note(d, "a")
		time.Sleep(exporting - 1)
		if !w.wrote(d, "a") || !w.leave(d, "b") {
			t.Error("it is forgotten early")
		}
		time.Sleep(time.Nanosecond)
		if w.wrote(d, "a") || w.leave(d, "b") {
			t.Error("it is remembered for good")
		}
		w.note(d, "b")
		if len(w.by) != 1 {
			t.Errorf("%d exports are remembered, of which one goes on", len(w.by))
		}
	})
}
