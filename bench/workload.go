package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// measure is what a step is called in the table.
type measure struct{ row, work string }

// workload is a build whose cache is moved. Its layers are incompressible and not compressed.
type workload struct {
	name             string
	program          string // the Dockerfile
	target           string // the stage to build so that an import needs everything
	files            map[string]int64
	bytes            int64 // of all layers, without headers and busybox
	layers           int
	exports, imports []measure
	dir              string
}

const (
	// late is the file that the last step of each stage copies: with other bytes in it that step is not in the
	// cache, and all layers before it are needed.
	late = "late"
	// later is the same for a stage that needs one small layer and no other.
	later = "later"
)

// newW is 24 layers in a chain: 16 of 16 to 32 MiB, and 8 small ones among them. What stands after it is for row
// S: it needs one layer.
func newW() workload {
	r := rand.New(rand.NewPCG(1, 1)) // the same sizes in every run
	w := workload{
		name: "W", target: "all", layers: 24,
		exports: []measure{{"E1", "W"}, {"E2", "W"}},
		imports: []measure{{"I1", "W"}, {"I2", "W"}},
	}
	var program strings.Builder
	program.WriteString("FROM scratch AS all\nCOPY busybox /bin/sh\n")
	for i := 1; i < w.layers; i++ {
		size := 16<<20 + r.Int64N(16<<20)
		if i%3 == 0 {
			size = 4<<10 + r.Int64N(60<<10)
		}
		w.bytes += size
		fmt.Fprintf(&program, "RUN head -c %d /dev/urandom > /layer%d\n", size, i)
	}
	program.WriteString("COPY late /late\nFROM scratch\nCOPY --from=all /layer3 /layer3\nCOPY later /later\n")
	w.program = program.String()
	return w
}

// newF is 400 layers of 4 to 64 KiB, in ten chains: more in one than overlayfs mounts would be no build.
func newF() workload {
	r := rand.New(rand.NewPCG(2, 2))
	w := workload{
		name: "F", target: "all", files: map[string]int64{},
		exports: []measure{{"F", "export"}}, imports: []measure{{"F", "import"}},
	}
	const stages, steps = 10, 40
	var program, all strings.Builder
	all.WriteString("FROM scratch AS all\n")
	for s := range stages {
		fmt.Fprintf(&program, "FROM scratch AS s%d\n", s)
		for i := range steps {
			name := "f" + strconv.Itoa(s*steps+i)
			w.files[name] = 4<<10 + r.Int64N(60<<10)
			w.bytes, w.layers = w.bytes+w.files[name], w.layers+1
			fmt.Fprintf(&program, "COPY %s /%s\n", name, name)
		}
		fmt.Fprintf(&program, "COPY late /late%d\n", s)
		fmt.Fprintf(&all, "COPY --from=s%d /late%d /\n", s, s)
	}
	w.program = program.String() + all.String()
	return w
}

// newB is one layer of 2 GiB.
func newB() workload {
	const size = 2 << 30
	return workload{
		name: "B", target: "all", bytes: size, layers: 1,
		program: fmt.Sprintf("FROM scratch AS all\nCOPY busybox /bin/sh\nRUN head -c %d /dev/urandom > /layer\nCOPY late /late\n", size),
		exports: []measure{{"E1", "B"}}, imports: []measure{{"I1", "B"}},
	}
}

// newTiny is a cache that is as small as caches are.
func newTiny() workload {
	return workload{name: "tiny", program: "FROM scratch\nCOPY later /later\nCOPY late /late\n"}
}

// write makes the folder that is built.
func (w workload) write(b *bench) (workload, error) {
	var err error
	if w.dir, err = b.folder("context"); err != nil {
		return w, err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "Dockerfile"), []byte(w.program), 0o644); err != nil {
		return w, err
	}
	busybox, err := os.ReadFile(b.busybox)
	if err != nil {
		return w, err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "busybox"), busybox, 0o755); err != nil {
		return w, err
	}
	for name, size := range w.files {
		if _, err := random(filepath.Join(w.dir, name), size); err != nil {
			return w, err
		}
	}
	if err := w.change(later, "first"); err != nil {
		return w, err
	}
	return w, w.change(late, "first")
}

// change makes the steps that copy a file other ones.
func (w workload) change(file, to string) error {
	return os.WriteFile(filepath.Join(w.dir, file), []byte(to), 0o644)
}
