package records

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestParseRefusesWhatBuildKitRefuses names the layer or record that is at fault.
func TestParseRefusesWhatBuildKitRefuses(t *testing.T) {
	const blob = `"blob":"sha256:0fa9d6311e53ae831a444bb55b5b9d18a8a55bb863ca35c6910850d79e4e6857"`
	tests := []struct{ name, config, says string }{
		{"no JSON", `{`, "unexpected end"},
		{"layers are no array", `{"layers":{}}`, "layers is not an array"},
		{"bad blob", `{"layers":[{"blob":"x"}]}`, `layers[0]: blob "x"`},
		{"parent is not there", `{"layers":[{` + blob + `,"parent":1}]}`, "layers[0]: parent 1 of 1 layers"},
		{"parent below -1", `{"layers":[{` + blob + `,"parent":-2}]}`, "layers[0]: parent -2"},
		{"layer is its own parent", `{"layers":[{` + blob + `}]}`, "layers[0]: it is below itself"},
		{"layers in a loop", `{"layers":[{` + blob + `,"parent":1},{` + blob + `,"parent":0}]}`, "it is below itself"},
		{"result is not there", `{"records":[{"layers":[{"layer":0}]}]}`, "records[0]: layer 0 of 0"},
		{"chain is not there", `{"records":[{"chains":[{"layers":[0,1]}]}]}`, "records[0]: layer 0 of 0"},
		{"input is empty", `{"records":[{"inputs":[[]]}]}`, "records[0]: inputs[0]: is empty"},
		{"link is not there", `{"records":[{"inputs":[[{"link":1}]]}]}`, "records[0]: inputs[0]: link 1 of 1"},
		{"record is its own input", `{"records":[{"inputs":[[{"link":0}]]}]}`, "records[0]: it is its own input"},
		{"records in a loop", `{"records":[{"inputs":[[{"link":1}]]},{"inputs":[[{"link":0}]]}]}`, "it is its own input"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Parse([]byte(tc.config)); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, which does not say %q", err, tc.says)
			}
		})
	}
}

// TestChains has the layers of a result base first, in both ways in which BuildKit writes them.
func TestChains(t *testing.T) {
	g := readGraph(t, filepath.Join(testdata, "base.json"))
	longest := 0
	for i := range g.Layers {
		chain := g.Chain(i)
		longest = max(longest, len(chain))
		if chain[len(chain)-1] != i || g.Layers[chain[0]].Parent != -1 {
			t.Errorf("chain of layer %d is %v", i, chain)
		}
	}
	if longest < 5 {
		t.Errorf("the longest chain has %d layers: five steps of the build are on one another", longest)
	}
	res := Result{Top: 3, Below: []int{7, 1}, Listed: true}
	if got := g.LayersOf(res); !slices.Equal(got, []int{7, 1, 3}) {
		t.Errorf("layers of a listed chain: %v", got)
	}
	if got := g.LayersOf(Result{Top: 3}); !slices.Equal(got, g.Chain(3)) {
		t.Errorf("layers of a result: %v, not %v", got, g.Chain(3))
	}
}

// TestSelectorsAreThoseOfBuildKit: the build copies /left of one stage, and mounts / in each RUN.
func TestSelectorsAreThoseOfBuildKit(t *testing.T) {
	g := readGraph(t, filepath.Join(testdata, "base.json"))
	found := map[string]bool{}
	for _, r := range g.Records {
		for _, any := range r.Inputs {
			for _, in := range any {
				found[in.Selector.String()] = true
			}
		}
	}
	for _, path := range []string{"/", "/left", "/data"} {
		if !found[SelectorOf(path).String()] {
			t.Errorf("no record selects %s", path)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{"base.json", "run.json"} {
		b, err := os.ReadFile(filepath.Join(testdata, path))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := Parse(b)
		if err != nil {
			return
		}
		if len(g.Order()) != len(g.Records) {
			t.Fatalf("%d of %d records are in order", len(g.Order()), len(g.Records))
		}
		for i := range g.Layers {
			g.Chain(i)
		}
		g.Kinds()
		m := Compare(g, g)
		for i := range g.Records {
			if !m.Known(i) {
				t.Fatalf("a cache does not have its own record %d", i)
			}
		}
		if all := m.Departures(); len(all) > 0 {
			t.Fatalf("a cache leaves itself at %+v", all)
		}
	})
}

func FuzzParseLog(f *testing.F) {
	for _, path := range []string{"run.rawjson", "run.plain"} {
		b, err := os.ReadFile(filepath.Join(testdata, path))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	g := readGraph(f, filepath.Join(testdata, "run.json"))
	f.Fuzz(func(t *testing.T, log string) {
		b, err := ParseLog(strings.NewReader(log))
		if err != nil {
			return
		}
		b.Departures()
		b.StepsOf(g)
	})
}
