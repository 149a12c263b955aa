package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// print writes all medians, and what came of the targets.
func (r report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROW\tWORKLOAD\tLINK\tSERVER\tCONTENDER\tMEDIAN\tMIN\tMAX\tROUNDS")
	for _, s := range r.Samples {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", s.Row, s.Work, s.Link, s.Server, s.Contender,
			number(median(s.Values)), number(slices.Min(s.Values)), number(slices.Max(s.Values)), len(s.Values))
	}
	fmt.Fprintln(t, "\nROW\tWORKLOAD\tLINK\tSERVER\tAGAINST\tRATIO\tTARGET\tMET\tBEFORE")
	for _, o := range r.Outcomes {
		met := "met"
		if !o.Met {
			met = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.2f\t%s\t%s\t%s\n", o.Row, o.Work, o.Link, o.Server, o.Than, o.Ratio, o.Target, met, r.before(o))
	}
	return t.Flush()
}

// number prints seconds and bytes alike in few digits.
func number(v float64) string {
	if v >= 1<<20 {
		return fmt.Sprintf("%.1f MiB", v/(1<<20))
	}
	return fmt.Sprintf("%.3f", v)
}

// sorted are samples in the order in which they are printed.
func (s samples) sorted() []sample {
	var all []sample
	for _, k := range slices.SortedFunc(maps.Keys(s), key.compare) {
		all = append(all, sample{k, s[k]})
	}
	return all
}
