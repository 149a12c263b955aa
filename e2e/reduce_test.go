package e2e

import (
	"slices"
	"testing"
)

// reduce makes a list that fails short: it leaves out ever smaller pieces of it, for as long as what is left fails as
// well, until no element can be left out. That is Zeller's delta debugging. A library would do the same to what its
// generator draws, but wants hundreds of runs that always end alike; a run here is a mount and a bucket.
func reduce[T any](list []T, fails func([]T) bool) []T {
	for size := max(1, len(list)/2); ; size = max(1, size/2) {
		shorter := false
		for at := 0; at < len(list); {
			rest := slices.Concat(list[:at], list[min(at+size, len(list)):])
			if fails(rest) {
				list, shorter = rest, true
			} else {
				at += size
			}
		}
		if size == 1 && !shorter {
			return list
		}
	}
}

// TestReduce: what is left is what the failure needs, in its order, however much there was around it.
func TestReduce(t *testing.T) {
	var list []int
	for i := range 200 {
		list = append(list, i)
	}
	runs := 0
	got := reduce(list, func(l []int) bool {
		runs++
		a, b := slices.Index(l, 31), slices.Index(l, 164)
		return a >= 0 && b > a
	})
	if !slices.Equal(got, []int{31, 164}) || runs > 100 {
		t.Errorf("%v are left after %d runs", got, runs)
	}
	if got := reduce(list, func([]int) bool { return true }); len(got) != 0 {
		t.Errorf("%v are left of what always fails", got)
	}
}
