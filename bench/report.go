package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sample is what was measured of one thing.
type sample struct {
	key
	Values []float64 `json:"values"`
}

// report is what a run leaves.
type report struct {
	Commit   string    `json:"commit"`
	Command  string    `json:"command"`
	Time     time.Time `json:"time"`
	Seconds  int       `json:"seconds"` // that it took
	CPUs     int       `json:"cpus"`
	Notes    []string  `json:"notes,omitempty"`
	Outcomes []outcome `json:"outcomes"`
	Samples  []sample  `json:"samples"`

	last *report // the last kept run
}

// before is the ratio that the last kept run had.
func (r report) before(o outcome) string {
	if r.last == nil {
		return ""
	}
	i := slices.IndexFunc(r.last.Outcomes, func(l outcome) bool {
		return l.Row == o.Row && l.Work == o.Work && l.Link == o.Link && l.Server == o.Server && l.Than == o.Than
	})
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", r.last.Outcomes[i].Ratio)
}

// save writes the report as JSON.
func (r report) save(path string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// lastKept is the newest report in a folder; their names begin with their dates. There may be none.
func lastKept(dir string) (*report, error) {
	kept, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(kept) == 0 {
		return nil, err
	}
	b, err := os.ReadFile(slices.Max(kept))
	if err != nil {
		return nil, err
	}
	r := &report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read the last kept run %s: %w", slices.Max(kept), err)
	}
	return r, nil
}

// command is how this run is repeated.
func command() string {
	words, more := []string{"make bench"}, []string{}
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "rows", "links", "servers", "rounds":
			words = append(words, strings.ToUpper(f.Name)+"="+f.Value.String())
		case "few", "huge", "many":
			more = append(more, "-"+f.Name+"="+f.Value.String())
		}
	})
	if len(more) > 0 {
		words = append(words, "BENCHFLAGS='"+strings.Join(more, " ")+"'")
	}
	return strings.Join(words, " ")
}
