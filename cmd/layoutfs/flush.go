package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
)

func flushCommand() *cli.Command {
	return &cli.Command{
		Name:      "flush",
		Usage:     "wait until everything is in the bucket",
		ArgsUsage: "[MOUNTPOINT]",
		Description: "MOUNTPOINT can be left out if there is only one mount.\n\n" +
			"   layoutfs flush --timeout 10m",
		Flags: []cli.Flag{
			timeoutFlag("0", "wait `TIME` at most; 0 means as long as it takes"),
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			timeout, err := timeout(c)
			if err != nil {
				return err
			}
			client, at, err := theMount(ctx, c)
			if err != nil {
				return err
			}
			return withProgress(ctx, c, at, func(ctx context.Context) error { return client.Flush(ctx, at, timeout) })
		},
	}
}

// theMount is the mount that is named, or the only one.
func theMount(ctx context.Context, c *cli.Command) (*daemon.Client, string, error) {
	at, err := mountpoint(c, true)
	if err != nil {
		return nil, "", err
	}
	if at != "" {
		client, err := daemon.Find(at)
		return client, at, err
	}
	clients, err := daemon.FindAll()
	if err != nil {
		return nil, "", err
	}
	statuses, err := ask(ctx, clients)
	if err != nil {
		return nil, "", err
	}
	switch len(statuses) {
	case 0:
		return nil, "", errors.New("nothing is mounted by this user")
	case 1:
		return clients[0], statuses[0].Mountpoint, nil
	}
	var all []string
	for _, s := range statuses {
		all = append(all, s.Mountpoint)
	}
	slices.Sort(all)
	return nil, "", usagef("which MOUNTPOINT? There are %s", strings.Join(all, ", "))
}
