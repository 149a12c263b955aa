package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// workload is a build whose cache is moved. Its layers are incompressible and not compressed.
type workload struct {
	name    string
	dir     string
	bytes   int64 // of all layers, without headers and busybox
	layers  int
	program string // the Dockerfile, but for its last step
}

// late is the file that the last step of each stage copies: with other bytes in it that step is not in the
// cache, and all layers before it are needed.
const late = "late"

// newW is 24 layers in a chain: 16 of 16 to 32 MiB, and 8 small ones among them.
func newW() workload {
	r := rand.New(rand.NewPCG(1, 1)) // the same sizes in every run
	w := workload{name: "W", layers: 24, program: "FROM scratch\nCOPY busybox /bin/sh\n"}
	for i := 1; i < w.layers; i++ {
		size := 16<<20 + r.Int64N(16<<20)
		if i%3 == 0 {
			size = 4<<10 + r.Int64N(60<<10)
		}
		w.bytes += size
		w.program += fmt.Sprintf("RUN head -c %d /dev/urandom > /layer%d\n", size, i)
	}
	w.program += "COPY late /late\n"
	return w
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
	if strings.Contains(w.program, "busybox") {
		busybox, err := os.ReadFile(b.busybox)
		if err != nil {
			return w, err
		}
		if err := os.WriteFile(filepath.Join(w.dir, "busybox"), busybox, 0o755); err != nil {
			return w, err
		}
	}
	return w, w.change("first")
}

// change makes the last step of each stage another one.
func (w workload) change(to string) error {
	return os.WriteFile(filepath.Join(w.dir, late), []byte(to), 0o644)
}
