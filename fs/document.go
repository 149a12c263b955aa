package fs

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// maxDocument bounds an index.json that is written, in bytes. BuildKit reads no manifest beyond 1 MiB;
// an index of a hundred thousand tags has about 40 MiB.
const maxDocument = 64 << 20

// text is a small file in memory while it is written. Its bytes are copied before they change: they may
// be a snapshot that others read.
type text struct {
	bytes []byte
	owned bool
}

func (t *text) own() {
	if !t.owned {
		t.bytes, t.owned = slices.Clone(t.bytes), true
	}
}

// writeAt writes, with zeros where nothing was written before. Beyond the bound it is EFBIG.
func (t *text) writeAt(p []byte, off int64) syscall.Errno {
	if off < 0 || off > maxDocument-int64(len(p)) {
		return syscall.EFBIG
	}
	end := off + int64(len(p))
	t.own()
	if grow := int(end) - len(t.bytes); grow > 0 {
		t.bytes = append(t.bytes, make([]byte, grow)...)
	}
	copy(t.bytes[off:], p)
	return 0
}

func (t *text) truncate(size int64) syscall.Errno {
	if size < 0 || size > maxDocument {
		return syscall.EFBIG
	}
	t.own()
	if grow := int(size) - len(t.bytes); grow > 0 {
		t.bytes = append(t.bytes, make([]byte, grow)...)
	}
	t.bytes = t.bytes[:size]
	return 0
}

// isObject says whether b is one complete JSON object.
func isObject(b []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{")) && json.Valid(b)
}

// readText answers a read of content in memory.
func readText(content, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if off >= int64(len(content)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, content[off:])]), 0
}

// snapshot is a small file open for reading, as it was at that time.
type snapshot struct{ content []byte }

var (
	_ fusefs.FileReader  = (*snapshot)(nil)
	_ fusefs.FileFsyncer = (*snapshot)(nil)
)

// Read reads.
func (s *snapshot) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return readText(s.content, dest, off)
}

// Fsync has nothing to do.
func (s *snapshot) Fsync(context.Context, uint32) syscall.Errno { return 0 }
