package records

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Graph is the content of a cache config.
type Graph struct {
	Layers  []Layer
	Records []Record

	order []int // of the records, inputs first
}

// Layer is a blob on top of another layer. One blob may be in several.
type Layer struct {
	Blob   digest.Digest
	Parent int // index of the layer below; -1: none
}

// Record is what one operation, on these inputs, is recognised by, and what it made.
type Record struct {
	Digest  digest.Digest // of the operation at one of its outputs; without inputs, of a source or a content
	Inputs  [][]Input     // for each input what it may be
	Results []Result      // empty: nothing was exported, as with mode=min for steps that are not in the image
}

// IsRoot says whether it stands for a source or a content, rather than for an operation.
func (r Record) IsRoot() bool { return len(r.Inputs) == 0 }

// Input is one of the records that an input may be.
type Input struct {
	Record   int           // index
	Selector digest.Digest // of the paths that count; empty: all of it, or Record is a content
}

// Result is a file system: a chain of layers.
type Result struct {
	Top       int       // the layer that the step added: index
	Below     []int     // the layers below it, base first, where they are not those of its parents
	Listed    bool      // whether Below says so
	CreatedAt time.Time // when the step was done; zero if that is not known
}

// Chain lists the layers below and with one, base first.
func (g *Graph) Chain(layer int) []int {
	var chain []int
	for at := layer; at >= 0; at = g.Layers[at].Parent {
		chain = append(chain, at)
	}
	slices.Reverse(chain)
	return chain
}

// LayersOf lists the layers of a result, base first.
func (g *Graph) LayersOf(r Result) []int {
	if r.Listed {
		return append(slices.Clone(r.Below), r.Top)
	}
	return g.Chain(r.Top)
}

// Newest is the newest result of a record; ok is false if it has none.
func (r Record) Newest() (newest Result, ok bool) {
	for _, res := range r.Results {
		if !ok || res.CreatedAt.After(newest.CreatedAt) {
			newest, ok = res, true
		}
	}
	return newest, ok
}

// Last says of each record whether it is nobody's input: the results that nothing builds on.
func (g *Graph) Last() []bool {
	last := make([]bool, len(g.Records))
	for i := range last {
		last[i] = true
	}
	for _, r := range g.Records {
		for _, any := range r.Inputs {
			for _, in := range any {
				last[in.Record] = false
			}
		}
	}
	return last
}

// Order lists the records, those that are inputs of others before them.
func (g *Graph) Order() []int { return g.order }

// Kind is what a record probably stands for.
type Kind string

// The kinds. Only source and content are told by something that no other record has.
const (
	Source  Kind = "source"  // an image, a commit, a URL: somebody selects paths of it, or it has a result
	Content Kind = "content" // of files: somebody takes it in place of selected paths
	Root    Kind = "root"    // one of these two
	Exec    Kind = "exec"    // a RUN: its first input is mounted as /
	Copy    Kind = "copy"    // a COPY or ADD: one of its inputs is known by content
	Other   Kind = "step"    // any other operation
)

// rootMount is the selector of a step whose input is mounted whole.
var rootMount = SelectorOf("/")

// SelectorOf is the selector of paths, as a COPY and a RUN have it.
func SelectorOf(paths ...string) digest.Digest {
	h := sha256.New()
	for i, p := range paths {
		if i > 0 {
			h.Write([]byte{0})
		}
		h.Write([]byte(p))
	}
	return digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(h.Sum(nil)))
}

// Kinds guesses the kind of each record.
func (g *Graph) Kinds() []Kind {
	kinds := make([]Kind, len(g.Records))
	for i, r := range g.Records {
		switch {
		case !r.IsRoot():
			kinds[i] = Other
		case len(r.Results) > 0:
			kinds[i] = Source
		default:
			kinds[i] = Root
		}
	}
	for _, r := range g.Records {
		for i, any := range r.Inputs {
			g.markRoots(kinds, i, any)
		}
	}
	for i, r := range g.Records {
		if !r.IsRoot() {
			kinds[i] = g.operation(kinds, r)
		}
	}
	return kinds
}

// markRoots learns from the ith input of some record what the roots among its alternatives are.
func (g *Graph) markRoots(kinds []Kind, i int, any []Input) {
	selected := false
	for _, in := range any {
		selected = selected || in.Selector != ""
	}
	for _, in := range any {
		switch {
		case !g.Records[in.Record].IsRoot() || kinds[in.Record] == Source:
		case in.Selector != "":
			kinds[in.Record] = Source
		case selected || i > 0:
			kinds[in.Record] = Content
		}
	}
}

func (g *Graph) operation(kinds []Kind, r Record) Kind {
	for i, any := range r.Inputs {
		for _, in := range any {
			switch {
			case i == 0 && in.Selector == rootMount:
				return Exec
			case kinds[in.Record] == Content, in.Selector != "":
				return Copy
			case kinds[in.Record] == Root && len(r.Inputs) == 1:
				return Copy // into nothing: of an image there would be a selector
			}
		}
	}
	return Other
}
