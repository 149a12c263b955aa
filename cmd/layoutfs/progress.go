package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v3"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/layoutfs/layoutfs/daemon"
)

const (
	quietFor  = time.Second            // what is done by then shows no progress
	barEvery  = 200 * time.Millisecond // on a terminal
	lineEvery = 5 * time.Second        // elsewhere
)

// withProgress does what waits for uploads of a mount, showing how far they are. ^C ends the waiting.
func withProgress(ctx context.Context, c *cli.Command, mountpoint string, do func(context.Context) error) error {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	watching, enough := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		showUploads(watching, c.ErrWriter, mountpoint)
	}()
	err := do(ctx)
	interrupted := ctx.Err() != nil
	enough()
	<-done
	if interrupted && err != nil {
		return fmt.Errorf("interrupted: %s stays mounted, and uploads go on", mountpoint)
	}
	return err
}

// showUploads shows what is staged until ctx ends; nothing, if nothing is.
func showUploads(ctx context.Context, w io.Writer, mountpoint string) {
	if !pause(ctx, quietFor) {
		return
	}
	client, err := daemon.Find(mountpoint)
	if err != nil {
		return
	}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		showBar(ctx, f, client)
		return
	}
	for {
		s, err := client.Status(ctx)
		if err != nil {
			return // it has ended, which is what was asked for
		}
		if s.Staged.Blobs > 0 || s.Pending > 0 {
			fmt.Fprintf(w, "layoutfs: waiting for uploads: %s%s\n", countText(s.Staged), pendingText(s.Pending))
		}
		if !pause(ctx, lineEvery) {
			return
		}
	}
}

func showBar(ctx context.Context, w io.Writer, client *daemon.Client) {
	var bars *mpb.Progress
	var bar *mpb.Bar
	var most int64 // that was staged at any time: more may come while we wait
	for {
		s, err := client.Status(ctx)
		if err != nil {
			break
		}
		left := toUpload(s)
		if bar == nil && left > 0 {
			bars = mpb.NewWithContext(ctx, mpb.WithOutput(w))
			bar = newBar(bars)
		}
		most = max(most, left)
		if bar != nil {
			bar.SetTotal(most, false)
			bar.SetCurrent(most - left)
		}
		if !pause(ctx, barEvery) {
			break
		}
	}
	if bar != nil {
		bar.Abort(false)
		bars.Wait()
	}
}

func newBar(bars *mpb.Progress) *mpb.Bar {
	return bars.AddBar(0,
		mpb.PrependDecorators(decor.Name("uploading "), decor.CountersKibiByte("% .1f of % .1f")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageSpeed(decor.SizeB1024(0), "% .1f")),
	)
}

// toUpload is how many bytes are staged, less what of them is on its way.
func toUpload(s daemon.Status) int64 {
	left := s.Staged.Bytes
	for _, t := range s.Uploading {
		left -= t.Done
	}
	return max(left, 0)
}

// pause waits; it is false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
