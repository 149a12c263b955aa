package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show bucket, names, local disk, transfers and errors",
		ArgsUsage: "[MOUNTPOINT]",
		Description: "Without MOUNTPOINT all mounts of this user are shown.\n\n" +
			"   layoutfs status --format '{{.Mountpoint}} {{size .Staged.Bytes}}'",
		Flags: []cli.Flag{formatFlag("text")},
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := checkFormat[daemon.Status](c); err != nil {
				return err
			}
			statuses, err := statuses(ctx, c)
			if err == nil && len(statuses) == 0 {
				fmt.Fprintln(c.ErrWriter, "layoutfs: nothing is mounted by this user")
			}
			return errors.Join(err, lines(c, statuses, func(w io.Writer) error { return printStatuses(w, statuses) }))
		},
	}
}

// statuses are those of the mount that is named, or of all.
func statuses(ctx context.Context, c *cli.Command) ([]daemon.Status, error) {
	at, err := mountpoint(c, true)
	if err != nil {
		return nil, err
	}
	if at != "" {
		client, err := daemon.Find(at)
		if err != nil {
			return nil, err
		}
		return ask(ctx, []*daemon.Client{client})
	}
	clients, err := daemon.FindAll()
	if err != nil {
		return nil, err
	}
	statuses, err := ask(ctx, clients)
	slices.SortFunc(statuses, func(a, b daemon.Status) int { return cmp.Compare(a.Mountpoint, b.Mountpoint) })
	return statuses, err
}

// ask asks clients for their status, in their order; the error is that of those who do not answer.
func ask(ctx context.Context, clients []*daemon.Client) ([]daemon.Status, error) {
	var statuses []daemon.Status
	var errs []error
	for _, client := range clients {
		s, err := client.Status(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		statuses = append(statuses, s)
	}
	return statuses, errors.Join(errs...)
}
