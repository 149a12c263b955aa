package e2e

import (
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
)

// caches are what may be exported: of a set of layers the digest of the manifest, and of a digest which layer it is.
type caches struct {
	manifest func(set int) digest.Digest
	layers   []digest.Digest
}

// set is the set of layers that has these digests; false if there is none.
func (c caches) set(digests []digest.Digest) (set int, ok bool) {
	for _, d := range digests {
		i := slices.Index(c.layers, d)
		if i < 0 {
			return 0, false
		}
		set |= 1 << i
	}
	return set, true
}

// How an operation ends.
const (
	fine   = "fine"
	absent = "absent" // there is nothing of that name
	failed = "failed"
	wrong  = "wrong bytes" // which nothing may ever end with
)

// outcome is what an operation ended with.
type outcome struct {
	How      string
	Why      string          // the error, for people
	Content  int             // of a scratch file
	Manifest digest.Digest   // that was imported
	Layers   []digest.Digest // that were imported
}

// certainty is what is known of something that may be so.
type certainty int

const (
	no certainty = iota
	maybe
	yes
)

// layerState is what is promised of a layer. What the bucket loses may be warm, and seen or not; what it
// has of wrong bytes may be warm as well, with the right ones.
type layerState struct {
	there, hidden certainty
	lost, spoiled bool // by the outsider, at some time
}

func (l layerState) whole() bool    { return l.there == yes && !l.lost && !l.spoiled }
func (l layerState) mustShow() bool { return l.whole() && l.hidden == no }
func (l layerState) mayShow() bool  { return l.there != no && l.hidden != yes }

// nameState is what a name stands for: a cache of some layers, and who wrote it last.
type nameState struct {
	layers int
	ours   bool // through the mount: the manifest is the one that was written
	shown  bool // it is a cache that can be read
}

// state is what has been promised, after some operations. It is copied, never changed in place.
type state struct {
	deletes  bool // --allow-delete
	names    map[int]nameState
	layers   map[int]layerState
	files    map[int]int  // scratch, and its content
	headless map[int]bool // the sets of layers whose manifest the bucket has lost at some time
	stale    map[int]bool // the names that the outsider changed since an index.json with them was opened
}

func newState(deletes bool) state {
	return state{deletes: deletes, names: map[int]nameState{}, layers: map[int]layerState{}, files: map[int]int{}, headless: map[int]bool{}, stale: map[int]bool{}}
}

func (s state) clone() state {
	s.names, s.layers, s.files = maps.Clone(s.names), maps.Clone(s.layers), maps.Clone(s.files)
	s.headless, s.stale = maps.Clone(s.headless), maps.Clone(s.stale)
	return s
}

// has says whether a set has an element.
func has(set, i int) bool { return set>>i&1 == 1 }

// eachLayer changes the layers of a set.
func (s state) eachLayer(set int, f func(l *layerState)) {
	for i := range modelLayers {
		if has(set, i) {
			l := s.layers[i]
			f(&l)
			s.layers[i] = l
		}
	}
}

// every says whether something holds for all layers of a set.
func (s state) every(set int, holds func(l layerState) bool) bool {
	for i := range modelLayers {
		if has(set, i) && !holds(s.layers[i]) {
			return false
		}
	}
	return true
}

// reached says whether a name that can be read needs a layer, and whether one does that was written here.
func (s state) reached(layer int) (reached, ours bool) {
	for _, n := range s.names {
		if n.shown && has(n.layers, layer) {
			reached, ours = true, ours || n.ours
		}
	}
	return reached, ours
}

// states are those that may be, as far as can be seen.
type states []state

// after is what may be after a round, whose operations come in any order; nothing is left if what they ended
// with breaks a promise.
func (all states) after(round []op, ends []outcome, c caches) states {
	byText := map[string]state{}
	for _, order := range orders(len(round)) {
		for _, s := range all {
			ok := true
			for _, i := range order {
				if s, ok = s.after(round[i], ends[i], slices.Delete(slices.Clone(round), i, i+1), c); !ok {
					break
				}
			}
			if ok {
				byText[fmt.Sprint(s)] = s
			}
		}
	}
	return slices.Collect(maps.Values(byText))
}

// orders lists the orders of n things.
func orders(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, o := range orders(n - 1) {
		for at := range n {
			all = append(all, slices.Insert(slices.Clone(o), at, n-1))
		}
	}
	return all
}
