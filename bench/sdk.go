package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"syscall"
)

// sdkReads is the CPU that the SDK takes for a blob, and one SHA-256 of it: what cannot be done without.
func (b *bench) sdkReads(ctx context.Context, s *server, x blob) error {
	if err := x.read(x.file); err != nil { // what the disk takes is not what is measured
		return err
	}
	cpu, err := ownCPU(func() error {
		if err := x.get(ctx, x.where, func(int64) io.Writer { return io.Discard }); err != nil {
			return err
		}
		return x.hash()
	})
	b.samples.add(key{"C", "cold read", loopback, s.name, sdkName}, cpu)
	return err
}

func (x blob) hash() error {
	f, err := os.Open(x.file)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(sha256.New(), struct{ io.Reader }{f}, make([]byte, 1<<20))
	return errors.Join(err, f.Close())
}

// ownCPU tells the seconds of CPU that this process takes while something runs.
func ownCPU(f func() error) (float64, error) {
	before, err := rusage()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := rusage()
	return after - before, err
}

func rusage() (float64, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, err
}
