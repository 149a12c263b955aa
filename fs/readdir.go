package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"iter"
	"os"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/opencontainers/go-digest"
)

// dots are the first two entries of every directory.
func dots() []fuse.DirEntry {
	return []fuse.DirEntry{{Name: ".", Mode: syscall.S_IFDIR}, {Name: "..", Mode: syscall.S_IFDIR}}
}

// list returns the scratch in a folder, sorted by name.
func (t *tree) list(d folder) ([]fuse.DirEntry, error) {
	t.moves.RLock()
	defer t.moves.RUnlock()
	local, err := os.ReadDir(d.local())
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil
	}
	var list []fuse.DirEntry
	for _, e := range local {
		list = append(list, fuse.DirEntry{Name: e.Name(), Mode: typeBits(e.Type())})
	}
	return list, err
}

func typeBits(m iofs.FileMode) uint32 {
	switch {
	case m.IsDir():
		return syscall.S_IFDIR
	case m&iofs.ModeSymlink != 0:
		return syscall.S_IFLNK
	}
	return syscall.S_IFREG
}

// blobStream lists a blobs/ALG: first what is local, then the blobs as they come. There may be a
// million, so they are not collected.
type blobStream struct {
	dir  *algorithmDir
	head []fuse.DirEntry
	own  map[string]bool // the names in head

	pos    int // of the next entry
	cancel context.CancelFunc
	next   func() (digest.Digest, error, bool)
	stop   func()
	ready  *fuse.DirEntry
	err    error
}

var (
	_ fusefs.DirStream     = (*blobStream)(nil)
	_ fusefs.FileSeekdirer = (*blobStream)(nil)
)

func newBlobStream(d *algorithmDir, head []fuse.DirEntry) *blobStream {
	s := &blobStream{dir: d, head: head, own: map[string]bool{}}
	for _, e := range head {
		s.own[e.Name] = true
	}
	s.rewind()
	return s
}

// rewind starts anew. The stream outlives the request that opened it, so it ends with the mount or with
// Close.
func (s *blobStream) rewind() {
	s.Close()
	ctx, cancel := context.WithCancel(s.dir.t.ctx)
	s.cancel = cancel
	s.next, s.stop = iter.Pull2(s.dir.t.blobs.All(ctx, s.dir.scope()))
	s.pos, s.ready, s.err = 0, nil, nil
}

// HasNext looks one entry ahead.
func (s *blobStream) HasNext() bool {
	if s.ready == nil && s.err == nil {
		s.ready, s.err = s.fetch()
	}
	return s.ready != nil || s.err != nil
}

func (s *blobStream) fetch() (*fuse.DirEntry, error) {
	if s.pos < len(s.head) {
		return &s.head[s.pos], nil
	}
	for {
		d, err, ok := s.next()
		if !ok || err != nil {
			return nil, err
		}
		if d.Algorithm() == s.dir.alg && !s.own[d.Encoded()] && !s.dir.inLayout().hides(s.dir.t.ctx, d) {
			return &fuse.DirEntry{Name: d.Encoded(), Mode: syscall.S_IFREG}, nil
		}
	}
}

// Next returns the entry that HasNext saw.
func (s *blobStream) Next() (fuse.DirEntry, syscall.Errno) {
	if s.err != nil {
		return fuse.DirEntry{}, s.dir.t.fail(s.dir.t.ctx, "list", s.dir, s.err)
	}
	e := *s.ready
	s.ready = nil
	s.pos++
	e.Off = uint64(s.pos)
	return e, 0
}

// Seekdir goes on after the off-th entry, as far as the listing is still the same.
func (s *blobStream) Seekdir(_ context.Context, off uint64) syscall.Errno {
	s.rewind()
	for uint64(s.pos) < off && s.HasNext() {
		if _, errno := s.Next(); errno != 0 {
			return errno
		}
	}
	return 0
}

// Close ends the listing.
func (s *blobStream) Close() {
	if s.stop != nil {
		s.stop()
		s.cancel()
	}
}
