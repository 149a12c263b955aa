package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Who does an operation of the model test: one of the client processes (from 0), or
const (
	outsider = -1 // who writes to the bucket, with nothing of ours in between
	keeper   = -2 // who starts and ends the daemon
)

// op is one operation. What A and B are, numbers of names, of layers, of scratch files or sets of layers, is said
// where it is done.
type op struct {
	Who    int
	What   string
	A, B   int
	AtOnce bool // with the one before
}

const (
	modelClients = 3
	modelLayers  = 6
	modelFiles   = 3
)

// modelNames are the names that there may be; one is a tag in the directory of another.
var modelNames = []string{"app", "lib/core", "app/v1"}

// kindOfOp is how often something is done, of some hundred, and by whom.
type kindOfOp struct {
	what  string
	who   int // 0: any client
	often int
}

var kindsOfOps = []kindOfOp{
	{"export", 0, 16},
	{"import", 0, 22},
	{"put", 0, 8},
	{"put wrong", 0, 5},
	{"read", 0, 12},
	{"unlink", 0, 7},
	{"drop", 0, 4},
	{"write scratch", 0, 7},
	{"read scratch", 0, 8},
	{"move scratch", 0, 4},
	{"remove scratch", 0, 3},
	{"publish", outsider, 6},
	{"delete name", outsider, 3},
	{"spoil name", outsider, 2},
	{"empty name", outsider, 2},
	{"lose layer", outsider, 3},
	{"lose manifest", outsider, 2},
	{"spoil layer", outsider, 2},
	{"remount", keeper, 2},
	{"kill", keeper, 2},
}

// randomOps makes n operations up.
func randomOps(r *rand.Rand, n int) []op {
	var ops []op
	for len(ops) < n {
		o := randomOp(r)
		if len(ops) > 0 && r.IntN(4) == 0 {
			o.AtOnce = o.Who != keeper && ops[len(ops)-1].Who != keeper
		}
		ops = append(ops, o)
	}
	return ops
}

func randomOp(r *rand.Rand) op {
	total := 0
	for _, k := range kindsOfOps {
		total += k.often
	}
	at := r.IntN(total)
	for _, k := range kindsOfOps {
		if at -= k.often; at < 0 {
			o := op{Who: k.who, What: k.what}
			if k.who == 0 {
				o.Who = r.IntN(modelClients)
			}
			o.A, o.B = argumentsOf(k.what, r)
			return o
		}
	}
	panic("unreachable")
}

func argumentsOf(what string, r *rand.Rand) (a, b int) {
	name, layer, layers := r.IntN(len(modelNames)), r.IntN(modelLayers), 1+r.IntN(1<<modelLayers-1)
	switch what {
	case "export", "publish":
		return name, layers
	case "import", "drop", "delete name", "spoil name", "empty name", "lose manifest":
		return name, 0
	case "put", "put wrong", "read", "unlink", "lose layer", "spoil layer":
		return layer, 0
	case "write scratch":
		return r.IntN(modelFiles), 1 + r.IntN(99)
	case "move scratch":
		return r.IntN(modelFiles), r.IntN(modelFiles)
	case "read scratch", "remove scratch":
		return r.IntN(modelFiles), 0
	}
	return 0, 0
}

// rounds groups operations: those of one are done at the same time. Nobody does two things at once.
func rounds(ops []op) [][]op {
	var all [][]op
	for _, o := range ops {
		if n := len(all) - 1; n >= 0 && o.AtOnce && len(all[n]) < modelClients && !anyIs(all[n], func(p op) bool { return p.Who == o.Who || p.Who == keeper }) {
			all[n] = append(all[n], o)
			continue
		}
		all = append(all, []op{o})
	}
	return all
}

func anyIs(ops []op, is func(op) bool) bool {
	for _, o := range ops {
		if is(o) {
			return true
		}
	}
	return false
}

// literal is a sequence as Go has it, to be pasted into modelCases.
func literal(flags []string, ops []op) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{%#v, []op{\n", flags)
	for _, o := range ops {
		fmt.Fprintf(&b, "\t{Who: %d, What: %q, A: %d, B: %d, AtOnce: %v},\n", o.Who, o.What, o.A, o.B, o.AtOnce)
	}
	return b.String() + "}},"
}
