package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/move"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// changer changes the names of a bucket: that of a mount, through its daemon, or one without a mount.
type changer interface {
	move.Keeper
	DeleteName(ctx context.Context, name string) error
	PutPin(ctx context.Context, name string) error
	DeletePin(ctx context.Context, name string) error
	Pins(ctx context.Context) (map[string]bool, error)
}

// openChanger opens the bucket that the flags name, to change it.
func openChanger(ctx context.Context, c *cli.Command) (changer, inspect.Source, error) {
	w, err := openWhere(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case w.mount != nil:
		return w.mount.Bucket(), w.source, nil
	case w.bucket != nil:
		return w.bucket, w.source, nil
	}
	return nil, nil, usagef("%s changes a bucket: give --s3 CSV, or --layout with a mountpoint", c.Name)
}

// touchRefresh is the age at which a blob that gets another name is renewed; of a mount's own setting nothing
// is known here, so it is the default.
func touchRefresh(k changer) time.Duration {
	if client, ok := k.(*bucket.Client); ok {
		return client.Config().TouchRefresh
	}
	return bucket.Default().TouchRefresh
}

// theBucket is the bucket of --s3 or, if that is not given, of the environment.
func theBucket(ctx context.Context, c *cli.Command, flag string) (*bucket.Client, error) {
	csv := c.String(flag)
	if csv == "" && flag == "s3" {
		csv = os.Getenv(envName("s3"))
	}
	if csv == "" {
		return nil, usagef("which bucket? Give --%s CSV", flag)
	}
	return openBucket(ctx, csv)
}

// interruptible is a context that ^C ends, so that what is under way can be left in order.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// carrier shows what is brought from one place to another.
type carrier struct {
	m *meter
}

func (p *carrier) Plan(_ int, n int64) { p.m.whole.Add(n) }
func (p *carrier) Done(_ int, n int64) { p.m.add(n) }

// carry brings names to a target, and says what it brought. as says what a name is called there.
func carry(ctx context.Context, c *cli.Command, verb string, from inspect.Source, to move.Target, names []string, as func(string) []string) error {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	m := newMeter(ctx, c, verb, 0)
	defer m.stop()
	for _, name := range names {
		before := m.done.Load()
		if err := move.Copy(ctx, from, name, to, as(name), &carrier{m: m}); err != nil {
			if errors.Is(err, context.Canceled) {
				return errors.New("interrupted; what was moved stays, and the same command goes on")
			}
			return err
		}
		for _, other := range as(name) {
			text := name
			if other != name {
				text += " as " + other
			}
			fmt.Fprintf(c.Writer, "%s: %s moved\n", text, sizeText(m.done.Load()-before))
		}
	}
	return nil
}
