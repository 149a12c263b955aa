package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/layoutfs/layoutfs/daemon"
)

func umountCommand() *cli.Command {
	return &cli.Command{
		Name:      "umount",
		Aliases:   []string{"unmount"},
		Usage:     "upload what is left, then unmount",
		ArgsUsage: "MOUNTPOINT",
		Description: "Returns when the daemon has ended. If uploads remain at --timeout it stays mounted, and the exit\n" +
			"status is 1. A mount whose daemon was killed is cleaned up.",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "wait `TIME` for uploads (0: as long as it takes)"},
			&cli.BoolFlag{Name: "force", Usage: "unmount even if uploads remain (the next mount goes on with them) or files are open", DisableDefaultText: true},
		},
		Action: func(c *cli.Context) error {
			at, err := mountpoint(c, false)
			if err != nil {
				return err
			}
			timeout, err := timeout(c)
			if err != nil {
				return err
			}
			return withProgress(c, at, func(ctx context.Context) error {
				return daemon.Unmount(ctx, at, timeout, c.Bool("force"))
			})
		},
	}
}

func timeout(c *cli.Context) (time.Duration, error) {
	d := c.Duration("timeout")
	if d < 0 {
		return 0, usagef("--timeout %s: must not be negative", d)
	}
	return d, nil
}
