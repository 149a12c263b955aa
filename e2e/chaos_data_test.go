package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dataOp is one operation on a file. B is what is written, with a pattern from there on.
type dataOp struct {
	What     string
	Off, Len int
	B        byte
}

const (
	dataMax = 600_000 // bytes of a file, at most
	dataOps = 300     // in a sequence
)

var kindsOfDataOps = []string{
	"write", "write", "write", "append", "read", "read", "map and read", "map and write", "map and write", "cut", "cut", "allocate",
	"allocate beyond", "punch", "sync", "reopen", "write elsewhere", "seek data",
}

func randomDataOps(r *rand.Rand, n int) []dataOp {
	ops := make([]dataOp, n)
	for i := range ops {
		off := r.IntN(dataMax)
		length := 1 + r.IntN(min(dataMax-off, 1<<r.IntN(18)))
		if r.IntN(3) == 0 { // on the edges of pages
			off &^= 4095
			length = min(length+4095, dataMax-off) &^ 4095
		}
		ops[i] = dataOp{kindsOfDataOps[r.IntN(len(kindsOfDataOps))], off, max(1, length), byte(r.Uint32())}
	}
	return ops
}

func pattern(o dataOp) []byte {
	b := make([]byte, o.Len)
	for i := range b {
		b[i] = o.B + byte(i*7)
	}
	return b
}

// dataFile is a file, and what it should have.
type dataFile struct {
	path  string
	f     *os.File
	want  []byte
	count map[string]int
}

// TestChaosData is fsx in Go: random reads, writes, cuts, allocations and mappings of a scratch file, through several
// handles, with the bytes held against those of a model after each. A sequence that fails is reduced.
func TestChaosData(t *testing.T) {
	seed := seedOf(t)
	h := newHost(t, anyServer(t).config(t))
	deadline := time.Now().Add(timeOf(t, 3*time.Second, 16))
	count := map[string]int{}
	done := 0
	for ; !t.Failed() && (done == 0 || time.Now().Before(deadline)); done++ {
		ops := randomDataOps(rand.New(rand.NewPCG(seed, uint64(done))), dataOps)
		fails := func(ops []dataOp) error { return runDataOps(h.path(".fsx"), ops, count) }
		if err := fails(ops); err != nil {
			t.Error(err)
			ops = reduce(ops, func(ops []dataOp) bool { return fails(ops) != nil })
			t.Logf("%v, after %d operations: %#v", fails(ops), len(ops), ops)
		}
	}
	t.Logf("%d sequences: %v", done, count)
	for _, kind := range kindsOfDataOps {
		if count[kind] == 0 && os.Getenv(long) != "" {
			t.Errorf("%q was never done", kind)
		}
	}
}

// runDataOps does operations on a new file, and returns the first difference.
func runDataOps(path string, ops []dataOp, count map[string]int) (err error) {
	d := &dataFile{path: path, count: count}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if d.f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.f.Close()) }()
	for i, o := range ops {
		count[o.What]++
		if err = d.do(o); err == nil {
			err = d.compare()
		}
		if err != nil {
			return fmt.Errorf("operation %d, %+v: %w", i, o, err)
		}
	}
	return nil
}

// compare reads the file by its name.
func (d *dataFile) compare() error {
	got, err := os.ReadFile(d.path)
	if err != nil {
		return err
	}
	return differ(got, d.want, 0)
}

// differ says where bytes are not what they should be.
func differ(got, want []byte, off int) error {
	if bytes.Equal(got, want) {
		return nil
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	return fmt.Errorf("%d bytes, from %d on %.8x; want %d bytes and %.8x", len(got), off+at, got[at:], len(want), want[at:])
}

// put puts bytes into the model.
func (d *dataFile) put(b []byte, off int) {
	d.grow(off + len(b))
	copy(d.want[off:], b)
}

func (d *dataFile) grow(size int) {
	d.want = append(d.want, make([]byte, max(0, size-len(d.want)))...)
}

func (d *dataFile) do(o dataOp) error {
	switch o.What {
	case "write":
		d.put(pattern(o), o.Off)
		_, err := d.f.WriteAt(pattern(o), int64(o.Off))
		return err
	case "append", "write elsewhere":
		return d.writeElsewhere(o)
	case "read":
		b := make([]byte, o.Len)
		n, err := d.f.ReadAt(b, int64(o.Off))
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		from := min(o.Off, len(d.want))
		return differ(b[:n], d.want[from:min(o.Off+o.Len, len(d.want))], o.Off)
	case "map and read", "map and write":
		return d.mapped(o)
	case "cut":
		d.want = append(slices.Clone(d.want), make([]byte, max(0, o.Off-len(d.want)))...)[:o.Off]
		return d.f.Truncate(int64(o.Off))
	case "sync":
		return d.f.Sync()
	case "reopen":
		f, err := os.OpenFile(d.path, os.O_RDWR, 0)
		if err == nil {
			err = d.f.Close()
			d.f = f
		}
		return err
	case "seek data":
		return d.seek(o)
	}
	return d.allocate(o)
}

// writeElsewhere writes through another handle.
func (d *dataFile) writeElsewhere(o dataOp) error {
	flags := os.O_WRONLY
	if o.What == "append" {
		flags |= os.O_APPEND
		o.Off, o.Len = len(d.want), min(o.Len, max(0, dataMax-len(d.want)))
	}
	f, err := os.OpenFile(d.path, flags, 0)
	if err != nil {
		return err
	}
	d.put(pattern(o), o.Off)
	if o.What == "append" {
		_, err = f.Write(pattern(o))
	} else {
		_, err = f.WriteAt(pattern(o), int64(o.Off))
	}
	return errors.Join(err, f.Close())
}

// mapped reads, and may write, what there is of the file within the range, in memory.
func (d *dataFile) mapped(o dataOp) error {
	if o.Off >= len(d.want) {
		return nil
	}
	page := o.Off &^ 4095
	end := min(o.Off+o.Len, len(d.want))
	mem, err := unix.Mmap(int(d.f.Fd()), int64(page), end-page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map: %w", err)
	}
	err = differ(mem[o.Off-page:], d.want[o.Off:end], o.Off)
	if o.What == "map and write" {
		copy(mem[o.Off-page:], pattern(o))
		copy(d.want[o.Off:end], pattern(o))
		if o.B%2 == 0 { // else it is written at some time
			err = errors.Join(err, unix.Msync(mem, unix.MS_SYNC))
		}
	}
	return errors.Join(err, unix.Munmap(mem))
}

// allocate is fallocate(2), where it is known.
func (d *dataFile) allocate(o dataOp) error {
	mode := map[string]uint32{"allocate beyond": unix.FALLOC_FL_KEEP_SIZE, "punch": unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_PUNCH_HOLE}[o.What]
	switch err := unix.Fallocate(int(d.f.Fd()), mode, int64(o.Off), int64(o.Len)); {
	case errors.Is(err, unix.EOPNOTSUPP) && mode != 0:
		return nil // what it says it does not know it has not done
	case err != nil:
		return fmt.Errorf("allocate: %w", err)
	}
	switch {
	case mode == 0:
		d.grow(o.Off + o.Len)
	case o.What == "punch" && o.Off < len(d.want):
		clear(d.want[o.Off:min(o.Off+o.Len, len(d.want))])
	}
	return nil
}

// seek looks for data: what it passes over must be empty.
func (d *dataFile) seek(o dataOp) error {
	at, err := unix.Seek(int(d.f.Fd()), int64(o.Off), unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		at, err = int64(len(d.want)), nil
	}
	if err != nil || o.Off >= len(d.want) {
		return err
	}
	passed := d.want[o.Off:at]
	return differ(make([]byte, len(passed)), passed, o.Off)
}
