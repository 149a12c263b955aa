package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestMedianAndSpread(t *testing.T) {
	for _, c := range []struct {
		values         []float64
		median, spread float64
	}{
		{nil, 0, 0},
		{[]float64{2}, 2, 0},
		{[]float64{3, 1, 2}, 2, 1},
		{[]float64{4, 1, 3, 2}, 2.5, 1.2},
	} {
		if m, s := median(c.values), spread(c.values); m != c.median || s != c.spread {
			t.Errorf("of %v: median %v, spread %v, want %v, %v", c.values, m, s, c.median, c.spread)
		}
	}
}

// TestOutcomes: a time is held against the other's, a speed the other way round, and what was not measured is no outcome.
func TestOutcomes(t *testing.T) {
	all := samples{}
	add := func(row, work, link string, ours, other float64, than string) {
		all.add(key{row, work, link, versitygw, layoutfsName}, ours)
		all.add(key{row, work, link, versitygw, than}, other)
	}
	add("E1", "W", loopback, 1.2, 1, s3Name)       // 1.20, at most 1.10
	add("E2", "W", loopback, 1.2, 1, plainName)    // 1.20, at most 1.30
	add("W", "scratch", loopback, 2, 1, localName) // half the speed
	add("R", "warm", loopback, 1, 1, localName)
	want := map[string]struct {
		ratio float64
		met   bool
	}{"E1": {1.2, false}, "E2": {1.2, true}, "W": {0.5, false}, "R": {1, true}}
	found := outcomes(all, []string{versitygw, minio})
	for _, o := range found {
		if w := want[o.Row]; o.Ratio != w.ratio || o.Met != w.met || o.Met != (o.Used <= 1) {
			t.Errorf("%s: ratio %v, met %v, used %v, want %+v", o.Row, o.Ratio, o.Met, o.Used, w)
		}
	}
	if len(found) != len(want) {
		t.Errorf("%d outcomes, want %d", len(found), len(want))
	}
}

func TestKeptRunIsComparedWith(t *testing.T) {
	dir := t.TempDir()
	if last, err := lastKept(dir); last != nil || err != nil {
		t.Errorf("of an empty folder: %v, %v", last, err)
	}
	o := outcome{Row: "E1", Work: "W", Link: slow, Server: minio, Than: s3Name, Ratio: 1.5}
	for name, ratio := range map[string]float64{"2026-01-02.json": 1.5, "2026-01-01.json": 3} {
		kept := o
		kept.Ratio = ratio
		if err := (report{Outcomes: []outcome{kept}}).save(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	last, err := lastKept(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := report{last: last}
	if got := r.before(o); got != "1.50" {
		t.Errorf("the last ratio is %q", got)
	}
	o.Server = versitygw
	if got := r.before(o); got != "" {
		t.Errorf("the last ratio of what was not measured is %q", got)
	}
}

// TestMountsAreDetached: what a run that failed has mounted is gone before its folder is removed.
func TestMountsAreDetached(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	point := filepath.Join(b.dir, "mnt")
	if err := os.Mkdir(point, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("bench", point, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := b.detach(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(point); err != nil {
		t.Errorf("it is mounted still: %v", err)
	}
}
