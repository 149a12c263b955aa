package records

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Departures lists the steps at which a build left its cache: those that ran, while all that they take came
// from the cache. Steps that take nothing are sources, which a build asks for anyway.
func (b *Build) Departures() []int {
	var all []int
	ran := b.ran()
	for i, s := range b.Steps {
		if ran[i] && !slices.ContainsFunc(s.Inputs, func(at int) bool { return ran[at] }) {
			all = append(all, i)
		}
	}
	return all
}

// ran says of each step whether it is one of the build's own, and was not in the cache.
func (b *Build) ran() []bool {
	ran := make([]bool, len(b.Steps))
	for i, s := range b.Steps {
		isStep := len(s.Inputs) > 0 || ofStage.MatchString(s.Name)
		ran[i] = !s.Cached && !s.IsInternal() && isStep && !isFrom(s.Name)
	}
	return ran
}

func isFrom(name string) bool {
	_, text, _ := strings.Cut(name, "] ")
	return strings.HasPrefix(text, "FROM ")
}

// Ran counts the steps that were not in the cache, and those that were.
func (b *Build) Ran() (ran, cached int) {
	for i, is := range b.ran() {
		switch s := b.Steps[i]; {
		case is:
			ran++
		case s.Cached && !s.IsInternal() && !isFrom(s.Name):
			cached++
		}
	}
	return ran, cached
}

// late is how long after the end of a step BuildKit may have its record.
const late = 2 * time.Second

// StepsOf says which step made which record, as far as the log tells: it has no digest of a record, so both
// are put in the order of their times, which must be those of the build. Nothing is said where there are
// more of the one than of the other, or where a RUN would be the record of a COPY.
func (b *Build) StepsOf(g *Graph) map[int]int {
	steps := b.timed()
	if len(steps) == 0 {
		return nil
	}
	begun, ended := b.Steps[steps[0]].Started, b.Steps[steps[len(steps)-1]].Completed
	for _, i := range steps {
		begun = earlier(begun, b.Steps[i].Started)
	}
	made := map[int]time.Time{}
	var records []int
	for i, r := range g.Records {
		if res, ok := r.Newest(); ok && !r.IsRoot() && res.CreatedAt.After(begun) && res.CreatedAt.Before(ended.Add(late)) {
			records = append(records, i)
			made[i] = res.CreatedAt
		}
	}
	slices.SortStableFunc(records, func(x, y int) int { return made[x].Compare(made[y]) })
	if len(records) != len(steps) {
		return nil
	}
	kinds := g.Kinds()
	of := map[int]int{}
	for i, r := range records {
		if s := b.Steps[steps[i]]; strings.Contains(s.Name, "] RUN ") != (kinds[r] == Exec) {
			return nil
		}
		of[r] = steps[i]
	}
	return of
}

// timed lists the steps that ran, in the order in which they ended; none if the log has no times.
func (b *Build) timed() []int {
	var steps []int
	for i, ran := range b.ran() {
		if ran && !b.Steps[i].Completed.IsZero() {
			steps = append(steps, i)
		}
	}
	slices.SortStableFunc(steps, func(x, y int) int {
		return cmp.Compare(b.Steps[x].Completed.UnixNano(), b.Steps[y].Completed.UnixNano())
	})
	return steps
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
