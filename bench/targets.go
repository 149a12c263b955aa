package main

import "fmt"

// target is what layoutfs has to reach in a row: a ratio of medians of one run.
type target struct {
	row, work, link string
	than            string  // the contender that it is held against
	atMost          float64 // layoutfs / than
	speed           bool    // the ratio is that of speeds, than / layoutfs, and atMost is atLeast
}

// Computed contenders.
const (
	wireName    = "wire"    // the bytes by the bandwidth of the link
	allowedName = "allowed" // what may be used
	indexName   = "index"   // the process of the daemon's index
)

// targets are those of issue 4.
func targets() []target {
	return []target{
		{row: "E1", work: "W", link: loopback, than: s3Name, atMost: 1.10},
		{row: "E1", work: "W", link: slow, than: s3Name, atMost: 1.00},
		{row: "E1", work: "W", link: slow, than: wireName, atMost: 1.10},
		{row: "E2", work: "W", link: loopback, than: plainName, atMost: 1.3},
		{row: "E2", work: "W", link: slow, than: s3Name, atMost: 1.0},
		{row: "I1", work: "W", link: loopback, than: plainName, atMost: 1.10},
		{row: "I1", work: "W", link: loopback, than: rcloneMountName, atMost: 1.0},
		{row: "I1", work: "W", link: loopback, than: s3fsName, atMost: 1.0},
		{row: "I1", work: "W", link: slow, than: s3Name, atMost: 0.95},
		{row: "I1", work: "B", link: slow, than: s3Name, atMost: 0.9},
		{row: "I1", work: "B", link: slow, than: wireName, atMost: 1.10},
		{row: "I2", work: "W", link: loopback, than: plainName, atMost: 1.03},
		{row: "I2", work: "W", link: slow, than: plainName, atMost: 1.03},
		{row: "S", work: "nothing", link: loopback, than: plainName, atMost: 1.2},
		{row: "S", work: "one layer", link: loopback, than: plainName, atMost: 1.2},
		{row: "S", work: "nothing, bytes", link: loopback, than: allowedName, atMost: 1},
		{row: "S", work: "one layer, bytes", link: loopback, than: allowedName, atMost: 1},
		{row: "F", work: "export", link: slow, than: s3Name, atMost: 0.5},
		{row: "F", work: "import", link: slow, than: s3Name, atMost: 1.0},
		{row: "R", work: "warm", link: loopback, than: localName, atMost: 0.97, speed: true},
		{row: "R", work: "warm 4 KiB", link: loopback, than: localName, atMost: 0.95, speed: true},
		{row: "R", work: "cold", link: loopback, than: getsName, atMost: 0.60, speed: true},
		{row: "R", work: "cold", link: loopback, than: rcloneMountName, atMost: 1.5, speed: true},
		{row: "R", work: "cold", link: loopback, than: s3fsName, atMost: 1.5, speed: true},
		{row: "R", work: "cold", link: slow, than: getsName, atMost: 0.97, speed: true},
		{row: "W", work: "scratch", link: loopback, than: localName, atMost: 0.95, speed: true},
		{row: "T", work: "4 KiB", link: slow, than: getsName, atMost: 1.3},
		{row: "T", work: "4 KiB, bytes", link: slow, than: allowedName, atMost: 1},
		{row: "M", work: "idle", link: loopback, than: allowedName, atMost: 1},
		{row: "M", work: "W", link: loopback, than: allowedName, atMost: 1},
		{row: "M", work: "large blob", link: loopback, than: allowedName, atMost: 1},
		{row: "N", work: "first ever", link: loopback, than: allowedName, atMost: 1},
		{row: "N", work: "warm index", link: loopback, than: allowedName, atMost: 1},
		{row: "C", work: "warm read", link: loopback, than: allowedName, atMost: 1},
		{row: "C", work: "cold read", link: loopback, than: sdkName, atMost: 1.5},
		{row: "C", work: "write and upload", link: loopback, than: sdkName, atMost: 1.5},
	}
}

// outcome is a target and what came of it.
type outcome struct {
	Row    string  `json:"row"`
	Work   string  `json:"workload"`
	Link   string  `json:"link"`
	Server string  `json:"server"`
	Than   string  `json:"than"`
	Ours   float64 `json:"layoutfs"` // medians: seconds, or bytes, as the unit of the row is
	Other  float64 `json:"other"`
	Ratio  float64 `json:"ratio"`
	Spread float64 `json:"spread"` // of layoutfs: (max - min) / median
	Rounds int     `json:"rounds"`
	Used   float64 `json:"used"` // of the target: at most 1 if it is met
	Target string  `json:"target"`
	Met    bool    `json:"met"`
}

// outcomes are the targets of which there are samples, on each server.
func outcomes(all samples, servers []string) []outcome {
	var found []outcome
	for _, t := range targets() {
		for _, s := range servers {
			k := key{Row: t.row, Work: t.work, Link: t.link, Server: s}
			ours, other := all[k.with(layoutfsName)], all[k.with(t.than)]
			if len(ours) > 0 && len(other) > 0 {
				found = append(found, t.held(k, ours, other))
			}
		}
	}
	return found
}

func (t target) held(k key, ours, other []float64) outcome {
	o := outcome{
		Row: t.row, Work: t.work, Link: t.link, Server: k.Server, Than: t.than,
		Ours: median(ours), Other: median(other), Spread: spread(ours), Rounds: len(ours),
	}
	if t.speed {
		o.Ratio, o.Target = o.Other/o.Ours, fmt.Sprintf(">= %.2f", t.atMost)
		o.Used = t.atMost / o.Ratio
		o.Met = o.Used <= 1
		return o
	}
	o.Ratio, o.Target = o.Ours/o.Other, fmt.Sprintf("<= %.2f", t.atMost)
	o.Used = o.Ratio / t.atMost
	o.Met = o.Used <= 1
	return o
}
