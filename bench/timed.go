package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// timed adds the seconds that something takes, when what others left to the disk is written, and the seconds for which
// the CPUs of the machine work meanwhile. Nothing can be faster than those, shared by all CPUs, and what an
// alternative makes them do besides.
func (b *bench) timed(k key, f func() error) error {
	syscall.Sync()
	busy, err := busySeconds()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := f(); err != nil {
		return fmt.Errorf("%s %s, %s: %w", k.Row, k.Work, k.Contender, err)
	}
	b.samples.add(k, time.Since(began).Seconds())
	after, err := busySeconds()
	k.Work += ", CPU"
	b.samples.add(k, after-busy)
	return err
}

// busySeconds is for how long all CPUs together have worked since the machine was started (proc_stat(5)).
func busySeconds() (float64, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	const ticksPerSecond = 100
	var ticks int64
	for i, text := range fields[1:8] { // user, nice, system, idle, iowait, irq, softirq
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat begins with %q: %w", line, err)
		}
		if i != 3 && i != 4 {
			ticks += n
		}
	}
	return float64(ticks) / ticksPerSecond, nil
}
