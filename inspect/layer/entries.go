package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/opencontainers/go-digest"
)

// Options of reading a layer.
type Options struct {
	Hash bool // give regular files a Digest; where no table of contents has it, the whole layer is read for it
}

// Entries lists what is in a layer, in the order of the archive. It ends after its first error.
func (l *Layer) Entries(ctx context.Context, o Options) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		toc, err := l.findTOC(ctx)
		if err == nil && toc != nil {
			err = toc.each(ctx, func(e *tocEntry) bool {
				entry, ok := e.entry()
				return !ok || yield(entry, nil)
			})
		} else if err == nil {
			err = l.walk(ctx, func(e Entry, r io.Reader) (bool, error) {
				if o.Hash && e.Mode.IsRegular() && !e.Hard && e.Hides == Nothing {
					d, err := digest.FromReader(r)
					if err != nil {
						return false, err
					}
					e.Digest = d
				}
				return yield(e, nil), nil
			})
		}
		if err != nil {
			yield(Entry{}, l.failed(err))
		}
	}
}

func (l *Layer) failed(err error) error { return fmt.Errorf("read layer %s: %w", l.Digest, err) }

// walk goes through the archive, until f says false. f may read the content of an entry.
func (l *Layer) walk(ctx context.Context, f func(e Entry, content io.Reader) (bool, error)) (err error) {
	a, err := l.archive(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	t := tar.NewReader(a.Reader)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		e, ok := entryOf(h)
		if !ok {
			continue
		}
		if more, err := f(e, t); err != nil || !more {
			return err
		}
	}
}

// entryOf makes an entry of a tar header; ok is false for what is no file.
func entryOf(h *tar.Header) (Entry, bool) {
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return Entry{}, false
	}
	p, hides, ok := place(h.Name)
	if !ok {
		return Entry{}, false
	}
	if hides != Nothing {
		return Entry{Path: p, Hides: hides}, true
	}
	e := Entry{
		Path: p, Mode: h.FileInfo().Mode(), UID: h.Uid, GID: h.Gid, ModTime: h.ModTime, Link: h.Linkname,
		Hard: h.Typeflag == tar.TypeLink,
	}
	if e.Hard {
		e.Link = relative(h.Linkname)
	}
	if e.Mode.IsRegular() && !e.Hard {
		e.Size = h.Size
	}
	return e, true
}
