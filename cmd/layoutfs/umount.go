package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
)

func umountCommand() *cli.Command {
	return &cli.Command{
		Name:      "umount",
		Aliases:   []string{"unmount"},
		Usage:     "upload what is left, then unmount",
		ArgsUsage: "MOUNTPOINT",
		Description: "Returns when the daemon has ended. If uploads remain at --timeout it stays\n" +
			"mounted, and the exit status is 1. What a killed daemon left is cleaned up.\n\n" +
			"   layoutfs umount /mnt/cache\n" +
			"   layoutfs umount --timeout 10m /mnt/cache",
		Flags: []cli.Flag{
			timeoutFlag("1m", "wait `TIME` for uploads; 0 means as long as it takes"),
			&cli.BoolFlag{Name: "force", Usage: "unmount even if uploads remain (the next mount goes on with them) or files are open"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			at, err := mountpoint(c, false)
			if err != nil {
				return err
			}
			timeout, err := timeout(c)
			if err != nil {
				return err
			}
			return withProgress(ctx, c, at, func(ctx context.Context) error {
				return daemon.Unmount(ctx, at, timeout, c.Bool("force"))
			})
		},
	}
}

func timeoutFlag(value, usage string) cli.Flag {
	return &cli.StringFlag{Name: "timeout", Value: value, Usage: usage}
}

// timeout is the value of that flag; 0 means none.
func timeout(c *cli.Command) (time.Duration, error) {
	p := &parser{c: c}
	d := p.duration("timeout")
	if err := p.err(); err != nil {
		return 0, usageError{err}
	}
	return d, nil
}
