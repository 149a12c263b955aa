package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v3"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/layoutfs/layoutfs/inspect"
)

// meter shows how far something is that takes over a second: a bar on a terminal, else lines. It counts bytes,
// or items of which the number is not known beforehand.
type meter struct {
	what  string
	out   io.Writer
	done  atomic.Int64 // bytes
	whole atomic.Int64 // bytes; 0: not known
	items atomic.Int64
	began time.Time

	cancel context.CancelFunc
	ended  chan struct{}
	once   sync.Once
}

// newMeter begins to measure; whole is how many bytes there will be, 0 if that is not known.
func newMeter(ctx context.Context, c *cli.Command, what string, whole int64) *meter {
	m := &meter{what: what, out: c.ErrWriter, ended: make(chan struct{}), began: time.Now()}
	m.whole.Store(whole)
	ctx, cancel := context.WithCancel(ctx)
	m.cancel = cancel
	go m.show(ctx)
	return m
}

func (m *meter) add(n int64) { m.done.Add(n) }
func (m *meter) item()       { m.items.Add(1) }

// stop ends the display; what follows on the terminal begins on a line of its own.
func (m *meter) stop() {
	m.once.Do(func() {
		m.cancel()
		<-m.ended
	})
}

// source counts what is read of a source.
func (m *meter) source(src inspect.Source) inspect.Source { return inspect.Counting(src, m.add) }

func (m *meter) show(ctx context.Context) {
	defer close(m.ended)
	if !pause(ctx, quietFor) {
		return
	}
	if f, ok := m.out.(*os.File); ok && isTerminal(f) {
		m.bar(ctx, f)
		return
	}
	for {
		fmt.Fprintf(m.out, "%s: %s\n", m.what, m.text())
		if !pause(ctx, lineEvery) {
			return
		}
	}
}

// text is how far it is.
func (m *meter) text() string {
	done, whole, items := m.done.Load(), m.whole.Load(), m.items.Load()
	switch {
	case whole > 0:
		return fmt.Sprintf("%s of %s (%s)", sizeText(done), sizeText(whole), shareText(done, whole)) + paceText(done, whole, time.Since(m.began))
	case done > 0:
		return sizeText(done) + paceText(done, whole, time.Since(m.began))
	}
	return fmt.Sprint(items)
}

// paceText is the rate, and the time left if it is known how much there is.
func paceText(done, whole int64, took time.Duration) string {
	rate := float64(done) / took.Seconds()
	if rate < 1 {
		return ""
	}
	text := ", " + sizeText(int64(rate)) + "/s"
	if whole > done {
		left := time.Duration(float64(whole-done) / rate * float64(time.Second))
		text += ", " + left.Round(time.Second).String() + " left"
	}
	return text
}

func (m *meter) bar(ctx context.Context, f *os.File) {
	bars := mpb.NewWithContext(ctx, mpb.WithOutput(f))
	bar := bars.AddBar(m.whole.Load(),
		mpb.PrependDecorators(decor.Name(m.what+" "), decor.Any(func(decor.Statistics) string { return m.text() })))
	for pause(ctx, barEvery) {
		if whole := m.whole.Load(); whole > 0 {
			bar.SetTotal(whole, false)
		}
		bar.SetCurrent(m.done.Load())
	}
	bar.Abort(true)
	bars.Wait()
}
