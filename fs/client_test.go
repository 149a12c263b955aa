package fs

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// client does random operations in a layout.
type client struct {
	t        *testing.T
	root     string
	rand     *rand.Rand
	model    *model
	contents [][]byte // of blobs
	paths    []string
	opened   []*openedFile
	did      []string
	failed   bool
	kernel   bool // may write scratch itself
}

// openedFile is a file that is open, here and there.
type openedFile struct {
	f      *os.File
	file   *modelFile
	writes bool
}

func newClient(t *testing.T, root string, random *rand.Rand) *client {
	c := &client{t: t, root: root, rand: random, model: newModel()}
	for range 4 {
		content := make([]byte, 1+random.IntN(20_000))
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		c.contents = append(c.contents, content)
		c.paths = append(c.paths, blobPath(content))
	}
	c.paths = append(c.paths, "f0", "f1", "ingest/d0/data", "ingest/d0/tmp", "ingest/d1/data", "blobs/sha256/tmp")
	c.do("mkdir ingest", os.Mkdir(c.at("ingest"), 0o755), c.model.mkdir("ingest"))
	return c
}

func (c *client) at(p string) string { return filepath.Join(c.root, p) }

// do notes an operation, and fails unless it ended as the model says.
func (c *client) do(what string, err error, want syscall.Errno) {
	c.did = append(c.did, fmt.Sprintf("%s: %v", what, err))
	if (want == 0) == (err == nil) && (err == nil || errors.Is(err, want)) || c.failed {
		return
	}
	c.failed = true
	recent := c.did[max(0, len(c.did)-25):]
	c.t.Errorf("%s: %v; want %v, after:\n%s", what, err, want, strings.Join(recent, "\n"))
}

func (c *client) run(n int) {
	steps := []func(){
		c.write, c.write, c.read, c.read, c.openFile, c.openFile, c.writeOpen, c.writeOpen, c.readOpen, c.closeOpen, c.closeOpen,
		c.rename, c.rename, c.commit, c.unlink, c.truncate, c.truncateOpen, c.mkdir, c.rmdir, c.renameDir, c.list,
		c.writeIndex, c.renameToIndex,
	}
	for range n {
		if c.failed {
			break
		}
		steps[c.rand.IntN(len(steps))]()
	}
	for len(c.opened) > 0 {
		c.closeOpen()
	}
	c.compare()
}

// compare wants everything that there is to be the same.
func (c *client) compare() {
	for _, p := range c.paths {
		c.readAt(p)
	}
	for dir := range c.model.dirs {
		c.listAt(dir)
	}
	c.readIndex()
}

func (c *client) path() string { return c.paths[c.rand.IntN(len(c.paths))] }

// content is that of a blob, or nearly.
func (c *client) content() []byte {
	content := c.contents[c.rand.IntN(len(c.contents))]
	if c.rand.IntN(4) == 0 {
		content = content[:c.rand.IntN(len(content))+1]
	}
	return content
}

// settle waits until what the model dropped at a close is gone: it is removed after that has returned.
func (c *client) settle(p string) {
	if _, errno := c.model.read(p); errno != syscall.ENOENT || !isBlobPath(p) {
		return
	}
	inTime(c.t, "the end of "+p, func() {
		for _, err := os.Lstat(c.at(p)); err == nil; _, err = os.Lstat(c.at(p)) {
		}
	})
}

func (c *client) write() {
	p, content := c.path(), c.content()
	if isBlobPath(p) && c.rand.IntN(2) == 0 {
		content = c.contents[slices.Index(c.paths, p)]
	}
	c.do(fmt.Sprintf("write %d bytes to %s", len(content), p), os.WriteFile(c.at(p), content, 0o644), c.model.write(p, content))
	c.settle(p)
}

func (c *client) read() { c.readAt(c.path()) }

func (c *client) readAt(p string) {
	got, err := os.ReadFile(c.at(p))
	want, errno := c.model.read(p)
	c.do("read "+p, err, errno)
	c.same("content of "+p, string(got), string(want))
}

func (c *client) same(what, got, want string) {
	if got != want {
		c.do(fmt.Sprintf("%s: %d bytes %.30q, want %d bytes %.30q", what, len(got), got, len(want), want), errors.ErrUnsupported, 0)
	}
}

func (c *client) openFile() {
	p := c.path()
	if _, isBlob := c.model.blobs[p]; isBlob && c.model.files[p] == nil {
		f, err := os.Open(c.at(p))
		c.do("open "+p, err, 0)
		c.keep(f, &modelFile{content: c.model.blobs[p], blob: true}, false)
		return
	}
	f, err := os.OpenFile(c.at(p), os.O_RDWR|os.O_CREATE, 0o644)
	file, errno := c.model.open(p)
	c.do("open "+p+" for writing", err, errno)
	c.keep(f, file, true)
}

func (c *client) keep(f *os.File, file *modelFile, writes bool) {
	if f == nil {
		return
	}
	c.opened = append(c.opened, &openedFile{f, file, writes})
	if len(c.opened) > 6 {
		c.closeOpen()
	}
}

// some returns one of the open files.
func (c *client) some() (i int, o *openedFile) {
	if len(c.opened) == 0 {
		return 0, nil
	}
	i = c.rand.IntN(len(c.opened))
	return i, c.opened[i]
}

func (c *client) writeOpen() {
	_, o := c.some()
	if o == nil || !o.writes {
		return
	}
	content, off := c.content(), 0
	if c.rand.IntN(3) == 0 {
		off = c.rand.IntN(len(content))
		content = content[off:]
	}
	_, err := o.f.WriteAt(content, int64(off))
	if c.kernel && o.file.blob {
		o.file.torn = o.file.torn || err == nil // what is at the path is compared elsewhere
		return
	}
	c.do(fmt.Sprintf("write %d bytes at %d to the open %s", len(content), off, o.f.Name()), err, c.model.writeAt(o.file, content, off))
}

func (c *client) readOpen() {
	_, o := c.some()
	if o == nil {
		return
	}
	got, err := io.ReadAll(io.NewSectionReader(o.f, 0, 1<<30))
	c.do("read the open "+o.f.Name(), err, 0)
	if o.file.torn {
		return
	}
	c.same("content of the open "+o.f.Name(), string(got), string(o.file.content))
}

func (c *client) truncateOpen() {
	_, o := c.some()
	if o == nil || !o.writes {
		return
	}
	size := c.rand.IntN(20_000)
	if c.rand.IntN(2) == 0 {
		size = len(o.file.content)
	}
	c.do(fmt.Sprintf("cut the open %s to %d", o.f.Name(), size), o.f.Truncate(int64(size)), o.file.truncate(size))
}

func (c *client) closeOpen() {
	i, o := c.some()
	if o == nil {
		return
	}
	c.opened = slices.Delete(c.opened, i, i+1)
	err := o.f.Close()
	if !o.writes {
		c.do("close "+o.f.Name(), err, 0)
		return
	}
	p := o.file.path
	want := c.model.close(o.file)
	if o.file.blob && errors.Is(err, syscall.EPERM) {
		err = nil // Linux may tell of a refused write once more
	}
	c.do("close the written "+o.f.Name(), err, want)
	c.settle(p)
}

func (c *client) rename() {
	from, to := c.path(), c.path()
	c.do("rename "+from+" to "+to, os.Rename(c.at(from), c.at(to)), c.model.rename(from, to))
}

// commit writes a blob by way of a temporary file.
func (c *client) commit() {
	content := c.contents[c.rand.IntN(len(c.contents))]
	from, to := "f0", blobPath(content)
	c.do("write "+from, os.WriteFile(c.at(from), content, 0o644), c.model.write(from, content))
	c.do("commit "+to, os.Rename(c.at(from), c.at(to)), c.model.rename(from, to))
}

func (c *client) unlink() {
	p := c.path()
	c.do("unlink "+p, unix.Unlink(c.at(p)), c.model.unlink(p))
}

func (c *client) truncate() {
	p, size := c.path(), c.rand.IntN(20_000)
	c.do(fmt.Sprintf("cut %s to %d", p, size), os.Truncate(c.at(p), int64(size)), c.model.cut(p, size))
}

// dir is one of the scratch directories.
func (c *client) dir() string { return fmt.Sprintf("ingest/d%d", c.rand.IntN(2)) }

func (c *client) mkdir() {
	p := c.dir()
	c.do("mkdir "+p, os.Mkdir(c.at(p), 0o755), c.model.mkdir(p))
}

func (c *client) rmdir() {
	p := c.dir()
	c.do("rmdir "+p, unix.Rmdir(c.at(p)), c.model.rmdir(p))
}

func (c *client) renameDir() {
	from, to := c.dir(), c.dir()
	c.do("rename "+from+" to "+to, unix.Rename(c.at(from), c.at(to)), c.model.renameDir(from, to))
}

func (c *client) list() {
	dirs := []string{".", "ingest", "ingest/d0", "ingest/d1", "blobs/sha256"}
	c.listAt(dirs[c.rand.IntN(len(dirs))])
}

func (c *client) listAt(dir string) {
	entries, err := os.ReadDir(c.at(dir))
	if !c.model.dirs[dir] {
		c.do("list "+dir, err, syscall.ENOENT)
		return
	}
	c.do("list "+dir, err, 0)
	var got []string
	for _, e := range entries {
		p := filepath.Join(dir, e.Name())
		others := isBlobPath(p) && !slices.Contains(c.paths, p)
		if others || dir == "." && slices.Contains(layoutFiles, e.Name()) {
			continue
		}
		got = append(got, e.Name())
	}
	c.same("listing of "+dir, strings.Join(got, " "), strings.Join(c.model.list(dir), " "))
}

func (c *client) readIndex() {
	got, err := os.ReadFile(c.at(indexFile))
	c.do("read index.json", err, 0)
	c.same("index.json", string(got), c.model.index)
}

func (c *client) writeIndex() {
	content := indexOf(fmt.Sprint("tag-", c.rand.IntN(1000)))
	if c.rand.IntN(2) == 0 {
		_, err := buildKitPut(c.at(indexFile), content)
		c.do("update index.json", err, 0)
	} else {
		c.do("write index.json", os.WriteFile(c.at(indexFile), []byte(content), 0o644), 0)
	}
	c.model.index = content
	c.readIndex()
}

func (c *client) renameToIndex() {
	p, content := c.path(), []byte(indexOf("renamed"))
	if c.rand.IntN(2) == 0 && !isBlobPath(p) {
		c.do("write an index to "+p, os.WriteFile(c.at(p), content, 0o644), c.model.write(p, content))
	}
	c.do("rename "+p+" to index.json", os.Rename(c.at(p), c.at(indexFile)), c.model.rename(p, indexFile))
	c.readIndex()
}
