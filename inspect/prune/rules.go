package prune

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/layoutfs/layoutfs/inspect"
)

// victim is a name that is to go, and why.
type victim struct {
	*known
	reason string
}

// victims chooses the names that go, the oldest first.
func (o Options) victims(m *marks, pins map[string]bool, now time.Time) []victim {
	var free []*known // the newest first
	for _, n := range m.names {
		if !pins[n.name] && !slices.ContainsFunc(o.Keep, func(p string) bool { return inspect.Fits(p, n.name) }) {
			free = append(free, n)
		}
	}
	slices.SortFunc(free, func(a, b *known) int {
		return cmp.Or(b.version.LastModified.Compare(a.version.LastModified), cmp.Compare(a.name, b.name))
	})
	free = free[min(o.KeepLast, len(free)):]
	slices.Reverse(free)
	var all []victim
	for _, n := range free {
		if reason := o.expired(n, now); reason != "" {
			all = append(all, victim{n, reason})
		}
	}
	return append(all, o.tooMuch(m, free[len(all):], all)...)
}

// expired says why a name goes for its age or its place; empty if it stays for these.
func (o Options) expired(n *known, now time.Time) string {
	age := now.Sub(n.version.LastModified)
	switch {
	case o.OlderThan > 0 && age > o.OlderThan:
		return fmt.Sprintf("written %s ago, --older-than %s", age.Round(time.Second), o.OlderThan)
	case o.OlderThan == 0 && o.KeepLast > 0:
		return fmt.Sprintf("not among the newest, --keep-last %d", o.KeepLast)
	}
	return ""
}

// tooMuch chooses of the names that are left, the oldest first, as many as it takes to come below
// --keep-storage. What the others that go will free counts.
func (o Options) tooMuch(m *marks, left []*known, gone []victim) []victim {
	if o.KeepStorage == 0 {
		return nil
	}
	users := slices.Clone(m.users)
	bytes := m.total()
	drop := func(n *known) {
		for _, at := range n.blobs {
			if users[at]--; users[at] == 0 {
				bytes -= m.size[at]
			}
		}
	}
	for _, v := range gone {
		drop(v.known)
	}
	var more []victim
	for _, n := range left {
		if bytes <= o.KeepStorage {
			break
		}
		drop(n)
		more = append(more, victim{n, "oldest, --keep-storage " + strings.ReplaceAll(humanize.IBytes(uint64(o.KeepStorage)), " ", "")})
	}
	return more
}
