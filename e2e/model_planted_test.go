package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// imagined is a mount in memory that keeps its promises: of the ways in which an operation may end it takes the first
// that the model allows. But a layer that was removed and written again it does not find: that bug is planted.
type imagined struct {
	s       state
	c       caches
	removed map[int]bool
	again   map[int]bool
}

func newImagined() *imagined {
	c := caches{manifest: func(set int) digest.Digest { return digest.FromString(fmt.Sprint(set)) }}
	for i := range modelLayers {
		c.layers = append(c.layers, digest.FromString(fmt.Sprint("layer ", i)))
	}
	return &imagined{s: newState(false), c: c, removed: map[int]bool{}, again: map[int]bool{}}
}

func (w *imagined) do(o op) outcome {
	for _, end := range []outcome{w.best(o), {How: absent}, {How: failed}} {
		if s, ok := w.s.after(o, end, nil, w.c); ok {
			w.s = s
			return w.spoil(o, end)
		}
	}
	return outcome{How: failed, Why: "the model allows nothing"}
}

// best is how an operation ends that succeeds.
func (w *imagined) best(o op) outcome {
	end := outcome{How: fine, Content: w.s.files[o.A]}
	if n := w.s.names[o.A]; o.What == "import" {
		end.Manifest = w.c.manifest(n.layers)
		for i, d := range w.c.layers {
			if has(n.layers, i) {
				end.Layers = append(end.Layers, d)
			}
		}
	}
	return end
}

func (w *imagined) spoil(o op, end outcome) outcome {
	switch {
	case o.What == "unlink" && end.How == fine:
		w.removed[o.A] = true
	case o.What == "put" && w.removed[o.A]:
		w.again[o.A] = true
	case o.What == "read" && w.again[o.A]:
		return outcome{How: absent}
	}
	return end
}

// firstBroken is the first operation on an imagined mount that ends as the model does not allow; -1: none does.
func firstBroken(ops []op) int {
	w := newImagined()
	may := states{newState(false)}
	for i, o := range ops {
		may = may.after([]op{o}, []outcome{w.do(o)}, w.c)
		if len(may) == 0 {
			return i
		}
	}
	return -1
}

// TestPlantedBugIsFoundAndReduced: random sequences find a bug that wants three operations before the one which
// shows it, and what is left of a sequence is those four, as a test case.
func TestPlantedBugIsFoundAndReduced(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	ops := randomOps(r, 300)
	for tries := 1; firstBroken(ops) < 0; tries++ {
		if tries == 20 {
			t.Fatal("the bug is not found")
		}
		ops = randomOps(r, 300)
	}
	ops = reduce(ops, func(ops []op) bool { return firstBroken(ops) >= 0 })
	var did []string
	for _, o := range ops {
		did = append(did, o.What)
	}
	// What an export or the outsider wrote can be removed as well.
	if first := did[0]; len(did) != 4 || !slices.Contains([]string{"put", "export", "publish"}, first) || strings.Join(did[1:], ", ") != "unlink, put, read" {
		t.Errorf("the sequence is reduced to %v", ops)
	}
	if text := literal(nil, ops); strings.Count(text, "Who:") != len(ops) {
		t.Errorf("it is printed as %s", text)
	}
}

// TestModelAllowsOnlyWhatIsPromised: what breaks a promise is not allowed, whatever happened before.
func TestModelAllowsOnlyWhatIsPromised(t *testing.T) {
	w := newImagined()
	export := op{What: "export", A: 1, B: 0b11}
	published := op{Who: outsider, What: "publish", A: 1, B: 0b110}
	read, imported := op{What: "read"}, op{What: "import", A: 1}
	for _, c := range []struct {
		why    string
		before []op
		last   op
		end    outcome
	}{
		{"wrong bytes are read", []op{{Who: outsider, What: "spoil layer"}}, read, outcome{How: wrong}},
		{"a layer that was acknowledged is gone", []op{export}, read, outcome{How: absent}},
		{"a layer that was removed is there", []op{{What: "put"}, {What: "unlink"}}, read, outcome{How: fine}},
		{"a layer that was never written is there", nil, read, outcome{How: fine}},
		{"wrong bytes become a blob", nil, op{What: "put wrong"}, outcome{How: fine}},
		{"a name that was acknowledged is gone", []op{export, {Who: keeper, What: "kill"}}, imported, outcome{How: absent}},
		{"a name that was deleted is there", []op{export, {Who: outsider, What: "delete name", A: 1}}, imported, w.imports(0b11)},
		{"an older cache is shown", []op{export, published}, imported, w.imports(0b11)},
		{"a layer is left out", []op{export}, imported, w.imports(0b01)},
		{"a dropped tag deletes the name", []op{export, {What: "drop", A: 1}}, imported, outcome{How: absent}},
		{"an export fails for nothing", nil, export, outcome{How: failed}},
		{"scratch is lost", []op{{What: "write scratch", B: 7}, {Who: keeper, What: "remount"}}, op{What: "read scratch"}, outcome{How: absent}},
		{"scratch is old", []op{{What: "write scratch", B: 7}, {What: "write scratch", B: 8}}, op{What: "read scratch"}, outcome{How: fine, Content: 7}},
	} {
		w := newImagined()
		for _, o := range c.before {
			w.do(o)
		}
		if s, ok := w.s.after(c.last, c.end, nil, w.c); ok {
			t.Errorf("%s: allowed, and then it is %+v", c.why, s)
		}
	}
}

// imports is the import of a set of layers as it was exported.
func (w *imagined) imports(set int) outcome {
	w.s.names[9] = nameState{layers: set, shown: true}
	return w.best(op{What: "import", A: 9})
}
