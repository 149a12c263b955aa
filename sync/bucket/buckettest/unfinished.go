package buckettest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"iter"
	"maps"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// journal is a bucket.Journal in memory.
type journal struct {
	mu   sync.Mutex // guards following
	by   map[string]string
	fail error // of EndUpload
}

func (j *journal) BeginUpload(key, id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.by[id] = key
	return nil
}

func (j *journal) EndUpload(_, id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail == nil {
		delete(j.by, id)
	}
	return j.fail
}

func (j *journal) failing(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = err
}

func (j *journal) Uploads() (iter.Seq2[string, string], error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.All(maps.Clone(j.by)), nil
}

func (j *journal) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.by)
}

// gated gives no byte before it is opened, and says when somebody waits for one.
type gated struct {
	io.ReaderAt
	waits  chan struct{}
	opened chan struct{}
	once   sync.Once
}

func (g *gated) ReadAt(p []byte, off int64) (int, error) {
	g.once.Do(func() { close(g.waits) })
	<-g.opened
	return g.ReaderAt.ReadAt(p, off)
}

// testUnfinished has a second process drop what the first, which goes on all the same, has not ended. No part
// has begun by then: servers do not promise that one which is on its way is dropped as well.
func testUnfinished(t *testing.T, cfg bucket.Config) {
	j := &journal{by: map[string]string{}}
	open := func() *bucket.Client {
		c := OpenWith(t, cfg, smallParts)
		if err := c.Remember(j); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := open()
	b := Bytes(11 << 20)
	d := digest.FromBytes(b)
	r := &gated{ReaderAt: bytes.NewReader(b), waits: make(chan struct{}), opened: make(chan struct{})}
	put := make(chan error)
	go func() { put <- first.PutBlob(t.Context(), d, r, int64(len(b))) }()
	<-r.waits
	second := open()
	j.failing(fs.ErrPermission)
	if err := second.DropUnfinished(t.Context()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("DropUnfinished that fails: %v", err)
	}
	j.failing(nil)
	if err := second.DropUnfinished(t.Context()); err != nil || j.count() != 0 {
		t.Errorf("DropUnfinished after a failure: %v, %d are left", err, j.count())
	}
	close(r.opened)
	if err := <-put; err == nil {
		t.Error("an upload that was dropped succeeded")
	}
	if _, err := first.StatBlob(t.Context(), d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("StatBlob of what was dropped: %v", err)
	}
	if Put(t, first, b); j.count() != 0 {
		t.Errorf("%d uploads that succeeded are not ended", j.count())
	}
}
