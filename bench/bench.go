package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	layoutfs string // the program under test
	tools    string // the folder of what it is measured against
	busybox  string
	dir      string // what the run makes is here

	rows, links, servers list // empty: all
	rounds, many         int
	within               time.Duration
	huge                 int64
	few                  bool

	exporters map[string]exported // by workload
	samples   samples
	notes     []string
	ends      []func() // called last to first
}

// list is a flag with several values.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set is flag.Value's.
func (l *list) Set(s string) error {
	*l = strings.Split(s, ",")
	return nil
}

func (b *bench) prepare() (err error) {
	for _, path := range []*string{&b.layoutfs, &b.tools} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if len(b.links) == 0 {
		b.links = []string{loopback, slow}
	}
	if b.busybox, err = exec.LookPath("busybox"); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "layoutfs-bench-"); err != nil {
		return err
	}
	b.atEnd(func() {
		if err := b.detach(); err != nil {
			b.note("%s is left: %v", b.dir, err) // what is mounted there must not be removed through the mount
			return
		}
		_ = os.RemoveAll(b.dir)
	})
	return nil
}

// detach ends the mounts that a run which failed has left; their daemons end with them.
func (b *bench) detach() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if point := strings.Fields(line)[1]; strings.HasPrefix(point, b.dir+"/") {
			err = errors.Join(err, syscall.Unmount(point, syscall.MNT_DETACH))
		}
	}
	return err
}

// atEnd calls f when the run ends.
func (b *bench) atEnd(f func()) { b.ends = append(b.ends, f) }

func (b *bench) end() {
	for _, f := range slices.Backward(b.ends) {
		f()
	}
}

// note is told with the results.
func (b *bench) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintln(os.Stderr, text)
	line, _, _ := strings.Cut(text, "\n")
	b.notes = append(b.notes, line)
}

// wants says whether one of some things is to be measured: of an empty list, all are.
func wants(list []string, any ...string) bool {
	return len(list) == 0 || slices.ContainsFunc(any, func(s string) bool { return slices.Contains(list, s) })
}

// round measures everything of a scenario once; n is its number.
type round func(ctx context.Context, n int) error

// scenario is what measures some rows. They are measured one after the other, and in each the contenders side by
// side.
type scenario struct {
	name   string
	part   int // of the time that there is; about the seconds that five rounds took on a slow machine
	rows   []string
	links  []string
	server string
	most   int // rounds, because one tells all; 0: as many as are asked for
	begin  func(ctx context.Context, s *server) (round, error)
}

func (b *bench) measure(ctx context.Context) error {
	end := time.Now().Add(b.within)
	running := map[string]*server{}
	wanted := slices.DeleteFunc(b.scenarios(), func(c scenario) bool {
		return !wants(b.rows, c.rows...) || !wants(b.links, c.links...) || !wants(b.servers, c.server)
	})
	for i, c := range wanted {
		s, ok := running[c.server]
		if !ok {
			var err error
			if s, err = b.newServer(ctx, c.server); err != nil {
				return err
			}
			running[c.server] = s
		}
		if err := b.scenario(ctx, c, s, share(time.Until(end), wanted[i:])); err != nil {
			return fmt.Errorf("%s on %s: %w", c.name, c.server, err)
		}
	}
	return nil
}

// share is what the first of some scenarios has of the time that is left. What it does not take is the others'.
func share(left time.Duration, scenarios []scenario) time.Duration {
	all := 0
	for _, c := range scenarios {
		all += c.part
	}
	return left * time.Duration(scenarios[0].part) / time.Duration(all)
}

func (b *bench) scenario(ctx context.Context, c scenario, s *server, within time.Duration) error {
	began := time.Now()
	round, err := c.begin(ctx, s)
	if err != nil {
		return err
	}
	rounds := b.rounds
	if c.most > 0 {
		rounds = min(rounds, c.most)
	}
	n, err := repeat(rounds, began.Add(within), func(n int) error { return round(ctx, n) })
	fmt.Fprintf(os.Stderr, "%s on %s: %d rounds in %.0f s\n", c.name, c.server, n, time.Since(began).Seconds())
	return err
}

// repeat calls f so many times, or as often as there is time for once more, but once, and tells how often.
func repeat(times int, until time.Time, f func(n int) error) (n int, err error) {
	for last := time.Duration(0); n < times && (n == 0 || time.Until(until) >= last); n++ {
		began := time.Now()
		if err := f(n); err != nil {
			return n, err
		}
		last = time.Since(began)
	}
	return n, nil
}

// finish prints and writes what came out.
func (b *bench) finish(out, kept string, began time.Time) error {
	last, err := lastKept(kept)
	if err != nil {
		return err
	}
	commit, err := run(context.Background(), nil, "git", "describe", "--always", "--dirty")
	if err != nil {
		return err
	}
	r := report{
		Commit: strings.TrimSpace(commit), Command: command(), Time: began.UTC().Truncate(time.Second),
		Seconds: int(time.Since(began).Seconds()), CPUs: runtime.NumCPU(), Notes: b.notes,
		Outcomes: outcomes(b.samples, []string{versitygw, minio}), Samples: b.samples.sorted(), last: last,
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := r.save(filepath.Join(out, "bench.json")); err != nil {
		return err
	}
	if err := r.draw(filepath.Join(out, "bench.svg")); err != nil {
		return err
	}
	return r.print(os.Stdout)
}
