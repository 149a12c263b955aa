package records

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testdata = "../testdata/why"

func readGraph(t testing.TB, path string) *Graph {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Parse(b)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return g
}

func readLog(t testing.TB, path string) *Build {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := ParseLog(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return b
}

// names are the steps of a build by the names that BuildKit gives them.
func names(b *Build, steps []int) []string {
	var all []string
	for _, i := range steps {
		all = append(all, b.Steps[i].Name)
	}
	slices.Sort(all)
	return all
}

// TestWhyFindsWhatWasChanged compares the cache of a real build with those of builds of which one line or one
// file was changed: it finds the very step, says of what sort the change is, and the step that the log names
// for the record is the one that was changed. The logs alone, of either format, say the same.
func TestWhyFindsWhatWasChanged(t *testing.T) {
	tests := []struct {
		change  string
		step    string // at which the build left the cache
		reason  Reason
		kind    Kind
		changed []int // inputs
	}{
		{
			change: "run", reason: NewOperation, kind: Exec,
			step: `[left 1/2] RUN ["/bin/do", "write", "/left", "LEFT", "rm", "/data/one", "-"]`,
		},
		{change: "file", reason: NewInput, kind: Copy, changed: []int{1}, step: "[right 1/2] COPY three large /data/"},
		{change: "first", reason: NewInput, kind: Copy, changed: []int{1}, step: "[base 2/3] COPY one two /data/"},
		{change: "destination", reason: NewOperation, kind: Copy, step: "[right 1/2] COPY three large /other/"},
	}
	old := readGraph(t, filepath.Join(testdata, "base.json"))
	for _, tc := range tests {
		t.Run(tc.change, func(t *testing.T) {
			now := readGraph(t, filepath.Join(testdata, tc.change+".json"))
			all := Compare(old, now).Departures()
			if len(all) != 1 {
				t.Fatalf("the build left the cache at %d steps, not at one: %+v", len(all), all)
			}
			d := all[0]
			if d.Reason != tc.reason {
				t.Errorf("the reason is %q, not %q", d.Reason, tc.reason)
			}
			if kind := now.Kinds()[d.Record]; kind != tc.kind {
				t.Errorf("the step is taken for %q, not for %q", kind, tc.kind)
			}
			var inputs []int
			for _, c := range d.Changed {
				inputs = append(inputs, c.Input)
				if len(c.Old) != 1 {
					t.Errorf("input %d was %v in the old cache, which is not one content", c.Input, c.Old)
				}
			}
			if diff := cmp.Diff(tc.changed, inputs); diff != "" {
				t.Errorf("changed inputs (-want +got):\n%s", diff)
			}
			if len(d.Instead) != 1 {
				t.Errorf("in its place the old cache has records %v, not one", d.Instead)
			}
			checkLogs(t, tc.change, tc.step, now, d.Record)
		})
	}
}

func checkLogs(t *testing.T, change, step string, now *Graph, record int) {
	t.Helper()
	b := readLog(t, filepath.Join(testdata, change+".rawjson"))
	if diff := cmp.Diff([]string{step}, names(b, b.Departures())); diff != "" {
		t.Errorf("steps of the log of --progress=rawjson (-want +got):\n%s", diff)
	}
	at, ok := b.StepsOf(now)[record]
	if !ok || b.Steps[at].Name != step {
		t.Errorf("the record is of step %d (%v), not of %q", at, ok, step)
	}
	plain := readLog(t, filepath.Join(testdata, change+".plain"))
	if found := names(plain, plain.Departures()); !slices.Contains(found, step) {
		t.Errorf("steps of the log of --progress=plain are %q, without %q", found, step)
	}
	if ran, cached := plain.Ran(); ran == 0 || cached == 0 || ran > len(plain.Steps) {
		t.Errorf("%d steps ran and %d were cached", ran, cached)
	}
}

// TestSameCacheHasNoDepartures compares caches with themselves and, of one build, in all compressions.
func TestSameCacheHasNoDepartures(t *testing.T) {
	paths, err := filepath.Glob("../../index/cacheconfig/testdata/*/config.json")
	if err != nil || len(paths) == 0 {
		t.Fatal("no goldens", err)
	}
	first := readGraph(t, paths[0])
	for _, path := range paths {
		m := Compare(first, readGraph(t, path))
		if all := m.Departures(); len(all) > 0 {
			t.Errorf("%s leaves %s at %+v", path, paths[0], all)
		}
		for i := range m.Old.Records {
			if m.Lost(i) {
				t.Errorf("%s lacks record %d of %s", path, i, paths[0])
			}
		}
	}
}

// TestEverythingLeavesAnEmptyCache has each independent first step as a departure.
func TestEverythingLeavesAnEmptyCache(t *testing.T) {
	now := readGraph(t, filepath.Join(testdata, "base.json"))
	all := Compare(&Graph{}, now).Departures()
	if len(all) != 1 {
		t.Fatalf("%d departures, not the one step on which all others build: %+v", len(all), all)
	}
	if all[0].Reason != NewBoth || len(all[0].Instead) > 0 {
		t.Errorf("%+v", all[0])
	}
	operations := 0
	for _, r := range now.Records {
		if !r.IsRoot() {
			operations++
		}
	}
	// COPY --link is made of a step of its own, which does not need the first one.
	if want := operations - 1; all[0].After != want {
		t.Errorf("%d steps after it, not %d", all[0].After, want)
	}
}

// TestPlainLogSaysLess: which stage builds on which is not in it, so steps that follow from others are listed too.
func TestPlainLogSaysLess(t *testing.T) {
	plain := readLog(t, filepath.Join(testdata, "first.plain"))
	want := []string{
		"[base 2/3] COPY one two /data/",
		`[left 1/2] RUN ["/bin/do", "write", "/left", "left", "rm", "/data/one", "-"]`,
		"[right 1/2] COPY three large /data/",
	}
	if diff := cmp.Diff(want, names(plain, plain.Departures())); diff != "" || plain.Exact {
		t.Errorf("exact %v (-want +got):\n%s", plain.Exact, diff)
	}
	if of := plain.StepsOf(readGraph(t, filepath.Join(testdata, "first.json"))); of != nil {
		t.Errorf("a plain log has no times, and tells steps of records: %v", of)
	}
}

// TestStepsOfAnotherBuild are not told: the log is not the one of the build that wrote the cache.
func TestStepsOfAnotherBuild(t *testing.T) {
	b := readLog(t, filepath.Join(testdata, "run.rawjson"))
	if of := b.StepsOf(readGraph(t, filepath.Join(testdata, "file.json"))); of != nil {
		t.Errorf("steps %v", of)
	}
}
