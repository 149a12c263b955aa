package fs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/opencontainers/go-digest"
)

// TestKernelRemembersABoundedNumberOfBlobs: what the kernel remembers costs memory here. Blobs that were looked up
// and those that were written are forgotten, in every layout; one that is open is read to its end, and each is
// found again.
func TestKernelRemembersABoundedNumberOfBlobs(t *testing.T) {
	const most, blobs = 10, 100
	r := testMount(t, func(o *Options) { o.remember = most })
	content := func(i int) []byte { return fmt.Appendf(nil, "blob %d", i) }
	open := openFile(t, r.blob(r.blobs.add(t, content(-1))), os.O_RDONLY)
	defer open.Close()
	var all []digest.Digest
	for i := range blobs {
		var d digest.Digest
		if i%2 == 0 {
			d = ingested(t, r.mnt, content(i))
		} else {
			d = r.blobs.add(t, content(i))
		}
		_, err := os.Stat(r.blob(d))
		must(t, err)
		all = append(all, d)
	}
	dir := directoryOf(t, r, all[blobs-1])
	inTime(t, "the kernel forgets", func() {
		for len(dir.Children()) > most+1 { // and the one that is open
			time.Sleep(time.Millisecond)
		}
	})
	if b, err := io.ReadAll(open); err != nil || !bytes.Equal(b, content(-1)) {
		t.Errorf("a blob that was open all the time: %q, %v", b, err)
	}
	for i, d := range all {
		if b, err := os.ReadFile(r.blob(d)); err != nil || !bytes.Equal(b, content(i)) {
			t.Errorf("blob %d: %q, %v", i, b, err)
		}
	}
}

// directoryOf is the directory of a blob that was looked up a moment ago.
func directoryOf(t *testing.T, r *rig, d digest.Digest) *fusefs.Inode {
	t.Helper()
	x := r.srv.tree.remembered
	x.mu.Lock()
	defer x.mu.Unlock()
	for e := x.recent.Front(); e != nil; e = e.Next() {
		n := e.Value.(*file)
		if _, dir := n.Parent(); dir != nil && n.digestNow() == d {
			return dir
		}
	}
	t.Fatal("nothing is remembered")
	return nil
}
