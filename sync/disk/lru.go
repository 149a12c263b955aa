package disk

import "container/heap"

// lru orders entries by their last use, the longest ago first. It is a heap and not a list because
// uses come out of order: the index restores them after the start. It knows no locks.
type lru struct{ order byUse }

func (l *lru) len() int { return len(l.order) }

// oldest is the entry that was not used for the longest time.
func (l *lru) oldest() *entry { return l.order[0] }

func (l *lru) add(e *entry) { heap.Push(&l.order, e) }

// remove takes an entry out; one that is not in is no error.
func (l *lru) remove(e *entry) {
	if e.at >= 0 {
		heap.Remove(&l.order, e.at)
	}
}

// byUse is a heap.Interface; each entry knows its position in it.
type byUse []*entry

func (o byUse) Len() int           { return len(o) }
func (o byUse) Less(i, j int) bool { return o[i].used.Before(o[j].used) }

func (o byUse) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].at, o[j].at = i, j
}

// Push appends, for package heap.
func (o *byUse) Push(x any) {
	e := x.(*entry)
	e.at = len(*o)
	*o = append(*o, e)
}

// Pop takes the last off, for package heap.
func (o *byUse) Pop() any {
	old := *o
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*o = old[:len(old)-1]
	e.at = -1
	return e
}
