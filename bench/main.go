// Command bench measures layoutfs against everything that a user would pick instead, side by side on one
// machine: `make bench`. docs/performance.md tells what is measured, and what came out.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// bench is one run.
type bench struct {
	layoutfs string // the program under test
	tools    string // the folder of what it is measured against
	busybox  string
	dir      string // what the run makes is here
	rows     []string
	links    []string
	rounds   int
	samples  map[key][]float64
	ends     []func() // called last to first
}

func main() {
	if err := execute(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func execute() (err error) {
	rows := flag.String("rows", "", "measure these rows only, such as E1,I1")
	links := flag.String("links", "loopback,slow", "measure over these links")
	b := &bench{samples: map[key][]float64{}}
	flag.IntVar(&b.rounds, "rounds", 5, "measure each this many times")
	flag.StringVar(&b.layoutfs, "layoutfs", "../bin/layoutfs", "measure this program")
	flag.StringVar(&b.tools, "tools", "../.tools", "where the Makefile builds what it is measured against")
	flag.Parse()
	b.rows, b.links = list(*rows), list(*links)
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := b.prepare(); err != nil {
		return err
	}
	defer b.end()
	if err := b.measure(ctx); err != nil {
		return err
	}
	b.print(os.Stdout)
	return nil
}

func list(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(s string) bool { return s == "" })
}

func (b *bench) prepare() (err error) {
	for _, path := range []*string{&b.layoutfs, &b.tools} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if b.busybox, err = exec.LookPath("busybox"); err != nil {
		return err
	}
	b.dir, err = os.MkdirTemp("", "layoutfs-bench-")
	b.atEnd(func() { _ = os.RemoveAll(b.dir) })
	return err
}

// atEnd calls f when the run ends.
func (b *bench) atEnd(f func()) { b.ends = append(b.ends, f) }

func (b *bench) end() {
	for _, f := range slices.Backward(b.ends) {
		f()
	}
}

// wants says whether one of some rows is to be measured.
func (b *bench) wants(rows ...string) bool {
	return len(b.rows) == 0 || slices.ContainsFunc(rows, func(r string) bool { return slices.Contains(b.rows, r) })
}

func (b *bench) measure(ctx context.Context) error {
	s, err := b.newServer(ctx, versitygw)
	if err != nil {
		return err
	}
	if b.wants("E1", "E2", "I1", "I2") {
		exporter, w, err := b.newCaches(ctx, newW())
		if err != nil {
			return err
		}
		for n := range b.rounds {
			for _, l := range b.links {
				m := caches{work: w, server: s, link: l, exporter: exporter, contenders: []contender{{layoutfsName, openLayoutfs}, {s3Name, openS3}}}
				if l == loopback {
					m.contenders = append(m.contenders, contender{plainName, openPlain})
				}
				if err := m.round(ctx, b, n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
