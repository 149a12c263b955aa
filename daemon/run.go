package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Run serves a mount in this process until it ends; ready is called when it answers.
func Run(ctx context.Context, c Config, ready func(Ready)) (err error) {
	to := os.Stderr
	if err := c.Validate(); err != nil {
		return err
	}
	if c.Log.File != "" {
		if to, err = c.Log.open(); err != nil {
			return err
		}
		defer to.Close()
	}
	d, signals, err := start(ctx, c, c.Log.logger(to))
	if err != nil {
		return err
	}
	ready(d.Ready())
	return d.Serve(signals)
}

// start is Start, which a signal ends.
func start(ctx context.Context, c Config, log *slog.Logger) (*Daemon, <-chan os.Signal, error) {
	// A reader of our output that goes away must not take the mount with it.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	started := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case s := <-signals:
			cancel(fmt.Errorf("stopped by signal: %s", s))
		case <-started:
		}
	}()
	d, err := Start(ctx, c, log)
	close(started)
	<-watched
	cause := context.Cause(ctx)
	switch {
	case err != nil && cause != nil:
		return nil, nil, cause
	case err != nil:
		return nil, nil, err
	case cause != nil: // it came too late to stop the start
		signals <- syscall.SIGTERM
	}
	return d, signals, nil
}
