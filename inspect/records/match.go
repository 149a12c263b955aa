package records

import (
	"slices"

	"github.com/opencontainers/go-digest"
)

// Match says which records of one cache another cache has too.
type Match struct {
	Old, New *Graph
	ToOld    [][]int // for each new record, the old ones that are the same
	ToNew    [][]int // for each old record, the new ones that are the same
}

// place is where BuildKit looks for a record: as user of a record, which is this input, by this selector.
type place struct {
	record, input int
	selector      digest.Digest
	operation     digest.Digest
}

// Compare finds the records of one graph in another as BuildKit finds them in a cache (solver's
// cacheManager.Query): a root by its digest, an operation by its digest and, for each of its inputs, one
// of the alternatives.
func Compare(old, now *Graph) *Match {
	m := &Match{Old: old, New: now, ToOld: make([][]int, len(now.Records)), ToNew: make([][]int, len(old.Records))}
	roots, users := lookup(old)
	for _, i := range now.order {
		r := now.Records[i]
		if r.IsRoot() {
			m.ToOld[i] = roots[r.Digest]
		} else {
			m.ToOld[i] = m.find(users, r)
		}
		for _, o := range m.ToOld[i] {
			m.ToNew[o] = append(m.ToNew[o], i)
		}
	}
	return m
}

// lookup indexes the records of a graph.
func lookup(g *Graph) (roots map[digest.Digest][]int, users map[place][]int) {
	roots, users = map[digest.Digest][]int{}, map[place][]int{}
	for i, r := range g.Records {
		if r.IsRoot() {
			roots[r.Digest] = append(roots[r.Digest], i)
		}
		for input, any := range r.Inputs {
			for _, in := range any {
				at := place{in.Record, input, in.Selector, r.Digest}
				users[at] = append(users[at], i)
			}
		}
	}
	return roots, users
}

// find looks for an operation whose inputs were looked for already.
func (m *Match) find(users map[place][]int, r Record) []int {
	var found []int
	for input, any := range r.Inputs {
		var here []int
		for _, in := range any {
			for _, old := range m.ToOld[in.Record] {
				here = append(here, users[place{old, input, in.Selector, r.Digest}]...)
			}
		}
		slices.Sort(here)
		here = slices.Compact(here)
		if input > 0 {
			here = slices.DeleteFunc(here, func(i int) bool { _, in := slices.BinarySearch(found, i); return !in })
		}
		if found = here; len(found) == 0 {
			return nil
		}
	}
	// One that has fewer inputs is found above when it is asked for the inputs that it has.
	return slices.DeleteFunc(found, func(i int) bool { return len(m.Old.Records[i].Inputs) != len(r.Inputs) })
}

// Known says whether the old cache has a new record.
func (m *Match) Known(record int) bool { return len(m.ToOld[record]) > 0 }

// Lost says whether the new cache lacks an old record.
func (m *Match) Lost(record int) bool { return len(m.ToNew[record]) == 0 }
