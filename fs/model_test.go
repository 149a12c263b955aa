package fs

import (
	"bytes"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// model is what one layout does, as the documents say it. Paths are relative to the layout. Each method is a
// system call, and returns what it ends with.
type model struct {
	files map[string]*modelFile // scratch
	dirs  map[string]bool       // that may be in it: scratch ones, and blobs/sha256
	blobs map[string][]byte     // by path
	index string
}

// modelFile is a scratch file, and what it becomes. Who has it open keeps it when it has no name any more.
type modelFile struct {
	content []byte
	path    string // empty when it was removed, or became something else
	blob    bool   // its bytes do not change any more
	torn    bool   // but for who has the file open still, and wrote to it
	writers int
	written bool // since it was judged at a close
	refused bool // when it was judged
}

func newModel() *model {
	return &model{
		files: map[string]*modelFile{}, blobs: map[string][]byte{}, index: emptyIndex,
		dirs: map[string]bool{".": true, "blobs/sha256": true},
	}
}

func isBlobPath(p string) bool {
	_, ok := blobName(digest.SHA256, path.Base(p))
	return ok && path.Dir(p) == "blobs/sha256"
}

func blobPath(content []byte) string { return "blobs/sha256/" + digest.FromBytes(content).Encoded() }

// read returns what is at a path.
func (m *model) read(p string) ([]byte, syscall.Errno) {
	if f := m.files[p]; f != nil {
		return f.content, 0
	}
	if b, ok := m.blobs[p]; ok {
		return b, 0
	}
	if m.dirs[p] {
		return nil, syscall.EISDIR
	}
	return nil, syscall.ENOENT
}

// open opens scratch for writing, and makes it if it is not there. Blobs are not opened so.
func (m *model) open(p string) (*modelFile, syscall.Errno) {
	if !m.dirs[path.Dir(p)] {
		return nil, syscall.ENOENT
	}
	f := m.files[p]
	if f == nil {
		f = &modelFile{path: p}
		m.files[p] = f
	}
	f.writers++
	return f, 0
}

// writeAt writes to an open file. To a blob that is still there, the bytes that it has may be written.
func (m *model) writeAt(f *modelFile, b []byte, off int) syscall.Errno {
	_, there := m.blobs[blobPath(f.content)]
	switch {
	case f.blob && there && off+len(b) <= len(f.content) && bytes.Equal(f.content[off:off+len(b)], b):
		return 0
	case f.blob:
		return syscall.EPERM
	}
	if grow := off + len(b) - len(f.content); grow > 0 {
		f.content = append(slices.Clone(f.content), make([]byte, grow)...)
	}
	f.content = slices.Concat(f.content[:off], b, f.content[off+len(b):])
	f.written = true
	return 0
}

func (f *modelFile) truncate(size int) syscall.Errno {
	switch {
	case f.blob && size == len(f.content):
		return 0
	case f.blob:
		return syscall.EPERM
	}
	f.content = append(slices.Clone(f.content), make([]byte, max(0, size-len(f.content)))...)[:size]
	f.written, f.refused = size > 0, false
	return 0
}

// close ends a handle that may write.
func (m *model) close(f *modelFile) syscall.Errno {
	f.writers--
	if f.blob || !isBlobPath(f.path) {
		return 0
	}
	if f.written {
		f.written, f.refused = false, blobPath(f.content) != f.path
		if !f.refused {
			m.becomeBlob(f, f.path)
			return 0
		}
	}
	refused := f.refused
	if f.writers == 0 {
		m.drop(f.path)
	}
	if refused {
		return syscall.EIO
	}
	return 0
}

func (m *model) becomeBlob(f *modelFile, p string) {
	m.drop(f.path)
	m.drop(p)
	f.blob = true
	m.blobs[p] = f.content
}

// drop takes the name from what is at a path.
func (m *model) drop(p string) {
	if f := m.files[p]; f != nil {
		f.path = ""
		delete(m.files, p)
	}
}

// write is os.WriteFile.
func (m *model) write(p string, content []byte) syscall.Errno {
	if _, ok := m.blobs[p]; ok && m.files[p] == nil {
		if blobPath(content) != p {
			return syscall.EIO
		}
		return 0
	}
	f, errno := m.open(p)
	if errno != 0 {
		return errno
	}
	_, _ = f.truncate(0), m.writeAt(f, content, 0) // it is no blob
	return m.close(f)
}

// cut is truncate(2).
func (m *model) cut(p string, size int) syscall.Errno {
	if f := m.files[p]; f != nil {
		return f.truncate(size)
	}
	b, errno := m.read(p)
	switch {
	case errno != 0:
		return errno
	case size != len(b):
		return syscall.EPERM
	}
	return 0
}

func (m *model) unlink(p string) syscall.Errno {
	_, errno := m.read(p)
	if errno == 0 && m.files[p] != nil {
		m.drop(p)
	} else {
		delete(m.blobs, p)
	}
	return errno
}

func (m *model) rename(from, to string) syscall.Errno {
	_, missing := m.read(from)
	f := m.files[from]
	switch {
	case missing != 0 || !m.dirs[path.Dir(to)]:
		return syscall.ENOENT
	case from == to:
		return 0
	case m.dirs[to]:
		return syscall.EISDIR
	case f == nil && isBlobPath(to):
		return syscall.EPERM // another blob
	case f == nil:
		return syscall.EXDEV
	case isBlobPath(to):
		if blobPath(f.content) != to {
			return syscall.EIO
		}
		m.becomeBlob(f, to)
		return 0
	case to == indexFile:
		if !isObject(f.content) {
			return syscall.EIO
		}
		m.index = string(f.content)
		m.drop(from)
		return 0
	}
	m.drop(to)
	m.move(f, to)
	return 0
}

func (m *model) move(f *modelFile, to string) {
	delete(m.files, f.path)
	f.path = to
	m.files[to] = f
}

func (m *model) mkdir(p string) syscall.Errno {
	switch {
	case !m.dirs[path.Dir(p)]:
		return syscall.ENOENT
	case m.dirs[p]:
		return syscall.EEXIST
	}
	m.dirs[p] = true
	return 0
}

func (m *model) rmdir(p string) syscall.Errno {
	switch {
	case !m.dirs[p]:
		return syscall.ENOENT
	case len(m.list(p)) > 0:
		return syscall.ENOTEMPTY
	}
	delete(m.dirs, p)
	return 0
}

func (m *model) renameDir(from, to string) syscall.Errno {
	switch {
	case !m.dirs[from] || !m.dirs[path.Dir(to)]:
		return syscall.ENOENT
	case from == to:
		return 0
	case m.dirs[to] && len(m.list(to)) > 0:
		return syscall.ENOTEMPTY
	}
	for p, f := range m.files {
		if rest, ok := strings.CutPrefix(p, from+"/"); ok {
			m.move(f, to+"/"+rest)
		}
	}
	delete(m.dirs, from)
	m.dirs[to] = true
	return 0
}

// sweep is what the next mount removes of what one leaves that was ended properly.
func (m *model) sweep() {
	for _, p := range []string{"ingest/d0", "ingest/d1", "ingest"} {
		if m.dirs[p] && len(m.list(p)) == 0 {
			delete(m.dirs, p)
		}
	}
}

// list returns the names in a directory, in order.
func (m *model) list(dir string) []string {
	seen := map[string]bool{}
	for _, all := range []func(func(string)){
		func(see func(string)) {
			for p := range m.files {
				see(p)
			}
		},
		func(see func(string)) {
			for p := range m.blobs {
				see(p)
			}
		},
		func(see func(string)) {
			for p := range m.dirs {
				see(p)
			}
		},
	} {
		all(func(p string) {
			if path.Dir(p) == dir && p != "." {
				seen[path.Base(p)] = true
			}
		})
	}
	var names []string
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
