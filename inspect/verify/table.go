package verify

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/layer"
)

// expected is what names say of a blob.
type expected struct {
	size      int64
	mediaType string // interned: there are few
	name      string // one that reaches it
	seen      bool
	made      bool // it is synthesised, and nowhere
}

// table is what the names of a source reach.
type table map[digest.Digest]*expected

// readers is how many names are read at once.
const readers = 16

// readNames fills the table, and reports names that cannot be understood.
func (r *run) readNames(ctx context.Context) error {
	var mu sync.Mutex // guards the table
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	var listing error
	for n, err := range r.o.Source.Names(ctx) {
		if err != nil {
			listing = err
			break
		}
		r.report.Names++
		group.Go(func() error {
			closure, err := r.closure(ctx, n)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			mu.Lock()
			wrong := r.expect(n, closure, err)
			mu.Unlock()
			for _, p := range wrong {
				r.problem(ctx, p)
			}
			return nil
		})
	}
	return errors.Join(listing, group.Wait())
}

func (r *run) closure(ctx context.Context, n inspect.Name) ([]ocispec.Descriptor, error) {
	if n.Broken != "" {
		return nil, errors.New(n.Broken)
	}
	return inspect.Closure(ctx, r.o.Source, n)
}

// expect notes what a name reaches, and says what is wrong with that.
func (r *run) expect(n inspect.Name, closure []ocispec.Descriptor, err error) (wrong []Problem) {
	if err != nil {
		return r.unreadable(n, err)
	}
	for i, d := range closure {
		e, ok := r.table[d.Digest]
		if !ok {
			e = &expected{size: d.Size, mediaType: r.intern(d.MediaType), name: n.Name}
			r.table[d.Digest] = e
		}
		e.made = e.made || n.Synthetic && i < 2
		if e.size != d.Size {
			wrong = append(wrong, Problem{
				Kind: WrongSize, Name: n.Name, Digest: d.Digest,
				Text: fmt.Sprintf("it is said to have %d bytes, and by name %q %d", d.Size, e.name, e.size),
			})
		}
	}
	return wrong
}

// unreadable is about a name of which it is not known what it reaches. A damaged manifest is found when it is
// read as the blob that it is, and a local copy need not be there.
func (r *run) unreadable(n inspect.Name, err error) []Problem {
	p := Problem{Kind: BrokenName, Name: n.Name, Digest: n.Descriptor.Digest, Text: err.Error()}
	switch gone := errors.Is(err, iofs.ErrNotExist); {
	case gone && r.o.Partial:
		return nil
	case gone:
		p.Kind = Missing
	case errors.Is(err, inspect.ErrMismatch) && !r.o.Quick:
		d := n.Descriptor
		r.table[d.Digest] = &expected{size: d.Size, mediaType: r.intern(d.MediaType), name: n.Name}
		return nil
	}
	return []Problem{p}
}

// intern keeps one copy of each media type.
func (r *run) intern(mediaType string) string {
	if known, ok := r.types[mediaType]; ok {
		return known
	}
	r.types[mediaType] = mediaType
	return mediaType
}

// wrongType says what is wrong with the media type of a layer whose first bytes are head; empty if nothing is.
func wrongType(mediaType string, head []byte) string {
	if !inspect.IsLayer(mediaType) {
		return ""
	}
	want := layer.Uncompressed
	switch {
	case strings.HasSuffix(mediaType, "gzip"):
		want = layer.Gzip
	case strings.HasSuffix(mediaType, "zstd"):
		want = layer.Zstd
	case !strings.HasSuffix(mediaType, "tar"):
		return "" // encrypted, or of a compression that is not known here
	}
	if is := layer.Sniff(head); is != want {
		return fmt.Sprintf("its media type is %s, and its bytes are %s", mediaType, is)
	}
	return ""
}
