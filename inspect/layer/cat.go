package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// maxLinks is how many links are followed, as Linux has it.
const maxLinks = 40

// Cat writes the content of the file that a stack of layers, base first, shows at a path; links are followed
// inside the stack. The error wraps fs.ErrNotExist if there is none.
func Cat(ctx context.Context, layers []*Layer, name string, w io.Writer) (Entry, error) {
	at, top := relative(name), len(layers)-1
	for range maxLinks {
		f := finder{want: at, w: w}
		if err := f.find(ctx, layers[:top+1]); err != nil {
			return Entry{}, err
		}
		switch e := f.found; {
		case e == nil:
			return Entry{}, fmt.Errorf("%s: %w", name, iofs.ErrNotExist)
		case e.Hard: // in its own layer, or below it
			at, top = e.Link, e.Layer
		case e.Mode&iofs.ModeSymlink != 0:
			at, top = follow(*e, at), len(layers)-1
		case e.Mode.IsRegular():
			return *e, nil
		default:
			return Entry{}, fmt.Errorf("%s is no file but %s", name, kindOf(e.Mode))
		}
	}
	return Entry{}, fmt.Errorf("%s: there are more than %d links on the way", name, maxLinks)
}

// follow is where a path leads whose beginning is a symbolic link.
func follow(link Entry, p string) string {
	rest := strings.TrimPrefix(p, link.Path)
	target := link.Link
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(link.Path), target)
	}
	return relative(target + rest)
}

func kindOf(m iofs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&iofs.ModeDevice != 0:
		return "a device"
	case m&iofs.ModeNamedPipe != 0:
		return "a pipe"
	}
	return "something else"
}

// finder looks for a path, or for a link in front of it. The content of a file is written as it is found,
// so that a layer is read once.
type finder struct {
	want  string
	w     io.Writer
	found *Entry
}

// find goes through the layers from the top on.
func (f *finder) find(ctx context.Context, layers []*Layer) error {
	above := cover{}
	for i := len(layers) - 1; i >= 0 && f.found == nil; i-- {
		own := cover{}
		t, err := layers[i].findTOC(ctx)
		if err == nil && t != nil {
			err = f.inTOC(ctx, t, above, own)
		} else if err == nil {
			err = f.inArchive(ctx, layers[i], above, own)
		}
		if err != nil {
			return layers[i].failed(err)
		}
		if f.found != nil {
			f.found.Layer = i
		}
		above.join(own)
	}
	return nil
}

// takes says whether an entry ends the search.
func (f *finder) takes(e Entry, above, own cover) bool {
	own.add(e)
	if e.Hides != Nothing || above.hides(e.Path) {
		return false
	}
	onTheWay := e.Mode&iofs.ModeSymlink != 0 && strings.HasPrefix(f.want, e.Path+"/")
	if e.Path != f.want && !onTheWay {
		return false
	}
	f.found = &e
	return true
}

func (f *finder) inArchive(ctx context.Context, l *Layer, above, own cover) error {
	return l.walk(ctx, func(e Entry, content io.Reader) (bool, error) {
		if !f.takes(e, above, own) {
			return true, nil
		}
		if !e.Mode.IsRegular() || e.Hard {
			return false, nil
		}
		_, err := io.Copy(f.w, content)
		return false, err
	})
}

// inTOC finds the entry and its chunks, which follow it, and then reads these alone.
func (f *finder) inTOC(ctx context.Context, t *toc, above, own cover) error {
	var chunks []tocEntry
	var next int64 // where the file after it begins
	err := t.each(ctx, func(e *tocEntry) bool {
		if f.found != nil {
			if e.Type == "chunk" {
				chunks = append(chunks, *e)
			} else if e.Offset > chunks[len(chunks)-1].Offset {
				next = e.Offset
			}
			return next == 0
		}
		if entry, ok := e.entry(); ok && f.takes(entry, above, own) {
			chunks = append(chunks, *e)
			return entry.Mode.IsRegular() && !entry.Hard
		}
		return true
	})
	if err != nil || f.found == nil || !f.found.Mode.IsRegular() || f.found.Hard || f.found.Size == 0 {
		return err
	}
	return t.copy(ctx, f.w, chunks, next)
}

// copy writes a file of which the chunks are known, and checks it.
func (t *toc) copy(ctx context.Context, w io.Writer, chunks []tocEntry, next int64) error {
	file := chunks[0]
	sum := digest.Canonical.Digester()
	out := io.MultiWriter(w, sum.Hash())
	for i, c := range chunks {
		end := c.EndOffset
		if end == 0 && i+1 < len(chunks) && chunks[i+1].Offset > c.Offset {
			end = chunks[i+1].Offset
		} else if end == 0 && next > c.Offset {
			end = next
		} else if end == 0 {
			end = t.begin
		}
		size := c.ChunkSize
		if size == 0 {
			size = file.Size - c.ChunkOffset
		}
		if err := t.chunk(ctx, out, c, end, size); err != nil {
			return fmt.Errorf("%s, %d bytes at %d: %w", file.Name, size, c.ChunkOffset, err)
		}
	}
	if file.Digest != "" && file.Digest != sum.Digest() {
		return fmt.Errorf("%s: its digest is %s and should be %s", file.Name, sum.Digest(), file.Digest)
	}
	return nil
}

// chunk writes the size bytes that are compressed between the offset of a chunk and end.
func (t *toc) chunk(ctx context.Context, w io.Writer, c tocEntry, end, size int64) (err error) {
	if c.ChunkType == "zeros" {
		_, err := io.CopyN(w, zeros{}, size)
		return err
	}
	if c.Offset < 0 || end <= c.Offset || end > t.l.Size || size < 0 {
		return errors.New("the table of contents has it outside the layer")
	}
	blob, err := t.l.Open(ctx, c.Offset, end-c.Offset)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	var r io.Reader
	if t.compression == ZstdChunked {
		z, err := zstd.NewReader(blob, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	} else if r, err = gzip.NewReader(blob); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, r, c.InnerOffset); err != nil {
		return err
	}
	_, err = io.CopyN(w, r, size)
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
