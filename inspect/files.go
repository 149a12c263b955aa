package inspect

import (
	"context"
	"io"
	"iter"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/inspect/layer"
)

// Files lists what a stack of layers shows, in the order of the paths. Own lists what its top layer alone
// holds, with the marks that take files of below away.
func (c *Cache) Files(ctx context.Context, stack []ocispec.Descriptor, own bool) iter.Seq2[layer.Entry, error] {
	if own {
		return c.Layer(stack[len(stack)-1]).Entries(ctx, layer.Options{})
	}
	return func(yield func(layer.Entry, error) bool) {
		var all []layer.Entry
		for e, err := range layer.Merge(ctx, c.open(stack), layer.Options{}) {
			if err != nil {
				yield(layer.Entry{}, err)
				return
			}
			all = append(all, e)
		}
		slices.SortFunc(all, func(a, b layer.Entry) int { return comparePaths(a.Path, b.Path) })
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// comparePaths has a folder right before what is in it.
func comparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}

// Cat writes the content of the file that a stack of layers shows at a path.
func (c *Cache) Cat(ctx context.Context, stack []ocispec.Descriptor, path string, w io.Writer) error {
	_, err := layer.Cat(ctx, c.open(stack), path, w)
	return err
}

func (c *Cache) open(stack []ocispec.Descriptor) []*layer.Layer {
	var layers []*layer.Layer
	for _, d := range stack {
		layers = append(layers, c.Layer(d))
	}
	return layers
}
