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
const readers = 16

// List summarises the names of a source for which want says yes, in no promised order. A name that cannot be
// read is listed as broken.
func List(ctx context.Context, src Source, want func(name string) bool) iter.Seq2[Summary, error] {
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
	n := r.name
	sum := Summary{Name: n.Name, Digest: n.Descriptor.Digest, Updated: n.Updated, Broken: n.Broken, Synthetic: n.Synthetic}
	if r.err != nil {
		sum.Broken = r.err.Error()
	}
	if len(r.closure) == 0 {
		sum.Kind = KindOther
		return sum
	}
	sum.Kind = kindOf(r.closure)
	for i, d := range r.closure {
		sum.Size += d.Size
		sum.Blobs++
		if IsLayer(d.MediaType) {
			sum.Layers++
		}
		made := n.Synthetic && i < 2
		switch at := s.Place(d.Digest); {
		case at&Staged != 0:
			sum.Staged += d.Size
			sum.Local += d.Size
		case at&Local != 0 || made:
			sum.Local += d.Size
		case s.Certain && !at.Complete():
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
