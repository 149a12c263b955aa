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
		cmp.Compare(k.Server, o.Server), cmp.Compare(k.Link, o.Link), cmp.Compare(k.Work, o.Work),
		cmp.Compare(k.Row, o.Row), cmp.Compare(k.Contender, o.Contender),
	)
}

// with is the same measure of another contender.
func (k key) with(contender string) key {
	k.Contender = contender
	return k
}

func (b *bench) add(k key, value float64) { b.samples[k] = append(b.samples[k], value) }

// median is the middle of samples; of an even number of them the mean of both.
func median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[n/2] + s[(n-1)/2]) / 2
}
