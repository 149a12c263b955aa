package layer

import (
	"context"
	"iter"
	"path"
)

// Merge lists what a stack of layers shows, base first: of each path the topmost entry, without what marks
// took away, and without the marks. It begins with the top layer.
func Merge(ctx context.Context, layers []*Layer, o Options) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		above := cover{}
		for i := len(layers) - 1; i >= 0; i-- {
			own := cover{}
			for e, err := range layers[i].Entries(ctx, o) {
				if err != nil {
					yield(Entry{}, err)
					return
				}
				e.Layer = i
				shown := e.Hides == Nothing && !above.hides(e.Path) && own[e.Path]&file == 0
				own.add(e)
				if shown && !yield(e, nil) {
					return
				}
			}
			above.join(own)
		}
	}
}

// cover is what layers hide of those below them, by path.
type cover map[string]uint8

const (
	file uint8 = 1 << iota // it is there
	gone                   // a mark takes it away
	lid                    // nothing of below is seen under it: it is gone, no folder, or its contents are gone
)

// add notes an entry. A mark has no say in its own layer.
func (c cover) add(e Entry) {
	switch {
	case e.Hides == Itself:
		c[e.Path] |= gone | lid
	case e.Hides == Contents:
		c[e.Path] |= lid
	case e.Mode.IsDir():
		c[e.Path] |= file
	default:
		c[e.Path] |= file | lid
	}
}

func (c cover) join(other cover) {
	for p, is := range other {
		c[p] |= is
	}
}

// hides says whether a path of a lower layer is not seen.
func (c cover) hides(p string) bool {
	if c[p]&(file|gone) != 0 {
		return true
	}
	for p != "." {
		if p = path.Dir(p); c[p]&lid != 0 {
			return true
		}
	}
	return false
}
