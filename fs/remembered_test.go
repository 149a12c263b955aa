package fs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"syscall"
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
	x := r.srv.tree.blobNodes
	x.mu.Lock()
	defer x.mu.Unlock()
	for e := x.recent.Front(); e != nil; e = e.Next() {
		n := e.Value.(*fusefs.Inode).Operations().(*file)
		if _, dir := n.Parent(); dir != nil && n.digestNow() == d {
			return dir
		}
	}
	t.Fatal("nothing is remembered")
	return nil
}

// TestKernelRemembersABoundedNumberOfDirectories: those of names are forgotten, too, with all that is in them, and each
// is found again. One in which something is looked up all the time is not; who has another one open goes on, though it
// has no name until it is looked up; one that a client has begun is what it was, and is forgotten once it is published.
func TestKernelRemembersABoundedNumberOfDirectories(t *testing.T) {
	const most, names = 10, 100
	const each = 5 // nodes: the directory, index.json, oci-layout, blobs and sha256
	r := testMount(t, func(o *Options) { o.remember = most })
	foreign := r.blobs.add(t, []byte("of another layout"))
	beginLayout(t, r.path("begun", "deep"))
	wantUsed := []func(string){r.use(t, "used", "deep"), r.use(t, "filled", "deep/blobs/sha256")}
	r.names.set("idle", indexOf("idle"))
	idle := openFile(t, r.path("idle"), os.O_RDONLY)
	defer idle.Close()
	root := rootOf(t, r)
	scope := func(i int) string { return fmt.Sprintf("team/app-%d", i) }
	for i := range names {
		r.names.set(scope(i), indexOf(scope(i)))
		_, err := os.Stat(r.path(scope(i)))
		must(t, err)
		if i%2 == 0 {
			r.wantNamed(t, scope(i))
		}
		for _, want := range wantUsed {
			want(digest.FromString(scope(i)).Encoded())
		}
	}
	inTime(t, "the kernel forgets", func() {
		for nodesBelow(root) > each*(most+2) { // and what is open, and what was begun
			time.Sleep(time.Millisecond)
		}
	})
	if path := pathOf(t, idle); path != r.path("idle")+" (deleted)" {
		t.Errorf("what is open and was not used is %s", path)
	}
	if list, err := idle.Readdirnames(0); len(list) != len(layoutFiles) || err != nil {
		t.Errorf("it lists %v, %v", list, err)
	}
	r.wantNamed(t, "idle")
	if path := pathOf(t, idle); path != r.path("idle") {
		t.Errorf("what was looked up again is %s", path)
	}
	wantNames(t, r.path("begun", "deep"), layoutFiles...)
	_, err := os.Stat(r.blob(foreign, "begun/deep"))
	wantErrno(t, "stat of a blob that was not written to what was begun", err, syscall.ENOENT)
	r.wantLayout(t, "begun/deep")
	for i := range names {
		r.wantNamed(t, scope(i))
	}
	r.wantLayout(t, scope(0))
	inTime(t, "the kernel forgets what was begun", func() {
		for root.GetChild("begun") != nil {
			time.Sleep(time.Millisecond)
		}
	})
}

// use opens a directory below that of a name; the returned function looks for what is not there, and fails unless the
// upper one is still found by its name.
func (r *rig) use(t *testing.T, name, below string) func(missing string) {
	t.Helper()
	r.names.set(name+"/deep", indexOf(name))
	upper := openFile(t, r.path(name), os.O_RDONLY)
	t.Cleanup(func() { upper.Close() })
	dir, err := os.OpenRoot(r.path(name, below))
	must(t, err)
	t.Cleanup(func() { dir.Close() })
	return func(missing string) {
		_, err := dir.Stat(missing)
		wantErrno(t, "stat of what is not there", err, syscall.ENOENT)
		if path := pathOf(t, upper); path != r.path(name) {
			t.Fatalf("what is above one that is used is %s", path)
		}
	}
}

// pathOf is where the kernel says that an open file is.
func pathOf(t *testing.T, f *os.File) string {
	t.Helper()
	path, err := os.Readlink(procPath(f))
	must(t, err)
	return path
}

// wantNamed fails unless a directory is the layout of a name.
func (r *rig) wantNamed(t *testing.T, scope string) {
	t.Helper()
	wantContent(t, r.path(scope, "oci-layout"), []byte(layoutContent))
	wantContent(t, r.path(scope, "index.json"), []byte(indexOf(scope)))
	_, err := os.Stat(r.path(scope, "blobs", "sha256"))
	must(t, err)
}

// rootOf is the node that the others are below; something was looked up a moment ago.
func rootOf(t *testing.T, r *rig) *fusefs.Inode {
	t.Helper()
	x := r.srv.tree.layoutNodes
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.recent.Front().Value.(*fusefs.Inode).Root()
}

// nodesBelow counts them.
func nodesBelow(n *fusefs.Inode) int {
	below := 0
	for _, c := range n.Children() {
		below += 1 + nodesBelow(c)
	}
	return below
}
