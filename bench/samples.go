package main

import (
	"cmp"
	"slices"
)

// key tells what a sample is of.
type key struct {
	Row       string `json:"row"`
	Work      string `json:"workload"`
	Link      string `json:"link"`
	Server    string `json:"server"`
	Contender string `json:"contender"`
}

func (k key) compare(o key) int {
	return cmp.Or(
		cmp.Compare(k.Server, o.Server), cmp.Compare(k.Row, o.Row), cmp.Compare(k.Link, o.Link),
		cmp.Compare(k.Work, o.Work), cmp.Compare(k.Contender, o.Contender),
	)
}

// with is the same measure of another contender.
func (k key) with(contender string) key {
	k.Contender = contender
	return k
}

// samples are what was measured, a value a round.
type samples map[key][]float64

func (s samples) add(k key, value float64) { s[k] = append(s[k], value) }

// median is the middle of values; of an even number of them the mean of both in the middle.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[n/2] + s[(n-1)/2]) / 2
}

// spread is how far values are apart, as a part of their median.
func spread(values []float64) float64 {
	if len(values) == 0 || median(values) == 0 {
		return 0
	}
	return (slices.Max(values) - slices.Min(values)) / median(values)
}
