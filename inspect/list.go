package inspect

import (
	"context"
	"errors"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Summary is a name in a listing. The JSON names are stable; sizes are in bytes.
type Summary struct {
	Name    string        `json:"name"`
	Kind    Kind          `json:"kind"`
	Digest  digest.Digest `json:"digest,omitempty"` // of its manifest
	Size    int64         `json:"size"`             // of everything it reaches, each blob once
	Blobs   int           `json:"blobs"`            // that it reaches
	Layers  int           `json:"layers"`           // of these
	Updated time.Time     `json:"updated,omitzero"` // when it was last written, if that is known
	Local   int64         `json:"local_bytes"`      // of Size, that are on local disk
	Staged  int64         `json:"staged_bytes"`     // of these, that are not known to be in the bucket
	Missing int           `json:"missing"`          // blobs that are nowhere, as far as that is known
	Broken  string        `json:"broken,omitempty"` // why it cannot be used
	// Synthetic says that a type=s3 client wrote it: manifest and config are made when they are asked for.
	Synthetic bool `json:"synthetic,omitempty"`
}

// readers is how many names are read at once.
const readers = 32

// Listed is a name that a source has summarised, or as much as it knows of it without reading blobs.
type Listed struct {
	Summary *Summary `json:"summary,omitempty"`
	Name    *Name    `json:"name,omitempty"`
}

// summarizer is a source that has what a summary takes, and need not send it: a million blobs for some thousand names.
type summarizer interface {
	Summaries(ctx context.Context) iter.Seq2[Listed, error]
}

// List summarises the names of a source for which want says yes, in no promised order. A name that cannot be
// read is listed as broken.
func List(ctx context.Context, src Source, want func(name string) bool) iter.Seq2[Summary, error] {
	if s, ok := src.(summarizer); ok {
		return listSummaries(ctx, src, s, want)
	}
	return listNames(ctx, src, want)
}

// listSummaries yields what a source has summarised, and then the rest.
func listSummaries(ctx context.Context, src Source, s summarizer, want func(string) bool) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		var rest []Name
		for l, err := range s.Summaries(ctx) {
			switch {
			case err != nil:
				yield(Summary{}, err)
				return
			case l.Summary != nil && want(l.Summary.Name) && !yield(*l.Summary, nil):
				return
			case l.Name != nil && want(l.Name.Name):
				rest = append(rest, *l.Name)
			}
		}
		if len(rest) == 0 {
			return
		}
		for sum, err := range listNames(ctx, someNames{src, rest}, want) {
			if !yield(sum, err) {
				return
			}
		}
	}
}

// someNames is a source with some of its names.
type someNames struct {
	Source
	names []Name
}

func (s someNames) Names(context.Context) iter.Seq2[Name, error] {
	return func(yield func(Name, error) bool) {
		for _, n := range s.names {
			if !yield(n, nil) {
				return
			}
		}
	}
}

// LocalBlobs is that of the source.
func (s someNames) LocalBlobs(ctx context.Context) iter.Seq2[Blob, error] {
	if l, ok := s.Source.(localLister); ok {
		return l.LocalBlobs(ctx)
	}
	return s.Blobs(ctx)
}

func listNames(ctx context.Context, src Source, want func(name string) bool) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		group, gctx := errgroup.WithContext(ctx)
		set := make(chan *BlobSet, 1)
		group.Go(func() error {
			defer close(set)
			s, err := KnownBlobs(gctx, src)
			if err == nil {
				set <- s
			}
			return err
		})
		found := make(chan read)
		group.Go(func() error {
			defer close(found)
			return readNames(gctx, src, want, found)
		})
		stopped := false
		if s := <-set; s != nil {
			for r := range found {
				if stopped = !yield(s.summarise(r), nil); stopped {
					break
				}
			}
		}
		if stopped {
			cancel()
		}
		for range found { // the readers end
		}
		if err := group.Wait(); err != nil && !stopped {
			yield(Summary{}, err)
		}
	}
}

// read is a name with its closure, or why there is none.
type read struct {
	name    Name
	closure []ocispec.Descriptor
	err     error
}

// readNames reads closures, some at a time.
func readNames(ctx context.Context, src Source, want func(string) bool, found chan<- read) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	var failed error
	for n, err := range src.Names(ctx) {
		if err != nil {
			failed = err
			break
		}
		if !want(n.Name) {
			continue
		}
		group.Go(func() error {
			r := read{name: n}
			if n.Broken == "" {
				r.closure, r.err = Closure(ctx, src, n)
			}
			select {
			case found <- r:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}
	return errors.Join(failed, group.Wait())
}

// summarise counts what a name reaches.
func (s *BlobSet) summarise(r read) Summary {
	sum := Summarise(r.name, r.closure, s.Place, s.Certain)
	if r.err != nil {
		sum.Broken = r.err.Error()
	}
	return sum
}

// Summarise counts what a name reaches, its closure. If certain, a blob without a place is nowhere.
func Summarise(n Name, closure []ocispec.Descriptor, place func(digest.Digest) Place, certain bool) Summary {
	sum := Summary{Name: n.Name, Digest: n.Descriptor.Digest, Updated: n.Updated, Broken: n.Broken, Synthetic: n.Synthetic}
	if len(closure) == 0 {
		sum.Kind = KindOther
		return sum
	}
	sum.Kind = kindOf(closure)
	last, isLayer := "", false // most have the type of the one before
	for i, d := range closure {
		sum.Size += d.Size
		sum.Blobs++
		if d.MediaType != last {
			last, isLayer = d.MediaType, IsLayer(d.MediaType)
		}
		if isLayer {
			sum.Layers++
		}
		made := n.Synthetic && i < 2
		switch at := place(d.Digest); {
		case at&Staged != 0:
			sum.Staged += d.Size
			sum.Local += d.Size
		case at&Local != 0 || made:
			sum.Local += d.Size
		case certain && !at.Complete():
			sum.Missing++
		}
	}
	return sum
}

// Fits says whether a pattern fits a name: as in path.Match, where a slash at its end stands for all names
// below.
func Fits(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/"); ok {
		for at := range name {
			if name[at] == '/' && matchesPath(prefix, name[:at]) {
				return true
			}
		}
		return false
	}
	return matchesPath(pattern, name)
}

func matchesPath(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
