package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// print writes all medians.
func (b *bench) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "row\tlink\tserver\tcontender\tmedian\tmin\tmax")
	for _, k := range slices.SortedFunc(maps.Keys(b.samples), key.compare) {
		s := b.samples[k]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.3f\t%.3f\t%.3f\n", k.Row, k.Link, k.Server, k.Contender, median(s), slices.Min(s), slices.Max(s))
	}
	_ = t.Flush()
}
