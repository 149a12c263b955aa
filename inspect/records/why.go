package records

import (
	"slices"

	"github.com/opencontainers/go-digest"
)

// Reason says why the old cache has not what a step would have been recognised by.
type Reason string

// The reasons.
const (
	NewOperation Reason = "operation" // what is done: the old cache has it nowhere
	NewInput     Reason = "input"     // the old cache has the operation, and not the source or content that it takes
	NewBoth      Reason = "both"      // neither the operation nor a source or content that it takes
	NewPlace     Reason = "place"     // it has all of that, but not together
)

// Departure is where a build left the old cache: the first step on its way that the old cache does not have.
type Departure struct {
	Record  int // of the new cache
	Reason  Reason
	Changed []Change // the inputs that are new
	Instead []int    // records of the old cache in this place, which the new one has not
	After   int      // how many further operations of the new cache come after it
}

// Change is an input whose source or content the old cache does not have.
type Change struct {
	Input int   // of the step, from 0
	New   int   // the root, of the new cache
	Old   []int // what the old cache has in its place, for the same operation
}

// Departures lists the steps at which the new cache leaves the old one: operations that the old one does not
// have, while it has every operation that they build on. They are in the order of the steps.
func (m *Match) Departures() []Departure {
	var all []Departure
	operations := map[digest.Digest]bool{}
	for _, r := range m.Old.Records {
		operations[r.Digest] = true
	}
	for _, i := range m.New.order {
		if !m.leaves(i) {
			continue
		}
		d := Departure{Record: i, Changed: m.changes(i), After: m.after(i)}
		switch same := operations[m.New.Records[i].Digest]; {
		case !same && len(d.Changed) > 0:
			d.Reason = NewBoth
		case !same:
			d.Reason = NewOperation
		case len(d.Changed) > 0:
			d.Reason = NewInput
		default:
			d.Reason = NewPlace
		}
		d.Instead = m.instead(d)
		all = append(all, d)
	}
	return all
}

// leaves says whether a record is an operation that the old cache lacks, on operations that it has.
func (m *Match) leaves(i int) bool {
	r := m.New.Records[i]
	if r.IsRoot() || m.Known(i) {
		return false
	}
	return !slices.ContainsFunc(r.Inputs, func(any []Input) bool { return !m.knows(any) && !m.isNewRoot(any) })
}

// isNewRoot says whether an input is a source or content that the old cache lacks. Where an operation may
// stand for it too, it is that operation that is missing.
func (m *Match) isNewRoot(any []Input) bool {
	return !slices.ContainsFunc(any, func(in Input) bool { return m.Known(in.Record) || !m.New.Records[in.Record].IsRoot() })
}

// changes lists the inputs of a record that the old cache knows by none of their alternatives.
func (m *Match) changes(i int) []Change {
	var changes []Change
	for input, any := range m.New.Records[i].Inputs {
		if m.isNewRoot(any) {
			changes = append(changes, Change{Input: input, New: any[0].Record, Old: m.replaced(i, input)})
		}
	}
	return changes
}

// replaced lists the roots that the old cache has as an input of the same operation, and the new has not.
func (m *Match) replaced(i, input int) []int {
	var roots []int
	for o, r := range m.Old.Records {
		if r.Digest != m.New.Records[i].Digest || !m.Lost(o) || input >= len(r.Inputs) || !m.besides(i, o, input) {
			continue
		}
		for _, in := range r.Inputs[input] {
			if m.Old.Records[in.Record].IsRoot() && m.Lost(in.Record) {
				roots = append(roots, in.Record)
			}
		}
	}
	slices.Sort(roots)
	return slices.Compact(roots)
}

// besides says whether a new and an old record have the same inputs besides one and those that are new.
func (m *Match) besides(i, o, input int) bool {
	now, old := m.New.Records[i].Inputs, m.Old.Records[o].Inputs
	if len(now) != len(old) {
		return false
	}
	for at := range now {
		if at != input && m.knows(now[at]) && !m.shares(now[at], old[at]) {
			return false
		}
	}
	return true
}

func (m *Match) knows(any []Input) bool {
	return slices.ContainsFunc(any, func(in Input) bool { return m.Known(in.Record) })
}

// shares says whether a new input and an old one may be the same.
func (m *Match) shares(now, old []Input) bool {
	for _, in := range now {
		for _, was := range old {
			if in.Selector == was.Selector && slices.Contains(m.ToOld[in.Record], was.Record) {
				return true
			}
		}
	}
	return false
}

// instead lists the old operations in the place of a departure: on the same inputs, as far as these are
// known, and lost.
func (m *Match) instead(d Departure) []int {
	var found []int
	inputs := m.New.Records[d.Record].Inputs
	for o, r := range m.Old.Records {
		if r.IsRoot() || !m.Lost(o) || len(r.Inputs) != len(inputs) {
			continue
		}
		known := 0
		for at := range inputs {
			if m.shares(inputs[at], r.Inputs[at]) {
				known++
			}
		}
		same := r.Digest == m.New.Records[d.Record].Digest
		if known == len(inputs)-len(d.Changed) && (known > 0 || same) {
			found = append(found, o)
		}
	}
	return found
}

// after counts the operations that need a record.
func (m *Match) after(record int) int {
	needs := map[int]bool{record: true}
	n := 0
	for _, i := range m.New.order {
		for _, any := range m.New.Records[i].Inputs {
			if slices.ContainsFunc(any, func(in Input) bool { return needs[in.Record] }) && !needs[i] {
				needs[i] = true
				n++
			}
		}
	}
	return n
}
