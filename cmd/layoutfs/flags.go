package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
)

func flagsCommand() *cli.Command {
	return &cli.Command{
		Name:      "flags",
		Usage:     "print the --cache-to and --cache-from of a mount",
		ArgsUsage: "[MOUNTPOINT]",
		Description: "MOUNTPOINT can be left out if there is only one mount. mode, ignore-error\n" +
			"and compression are those that the mount was given.\n\n" +
			"   docker buildx build $(layoutfs flags --name app) .",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "of the directory of `NAME`, which is what type=s3 calls name=NAME"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			client, _, err := theMount(ctx, c)
			if err != nil {
				return err
			}
			s, err := client.Status(ctx)
			if err != nil {
				return err
			}
			printUse(c.Writer, "", s.Use.Of(c.String("name")))
			return nil
		},
	}
}

// printUse prints how a builder uses a mount, a flag a line.
func printUse(w io.Writer, indent string, u daemon.Use) {
	if to := u.CacheTo(); to != "" {
		fmt.Fprintf(w, "%s--cache-to %s\n", indent, to)
	}
	fmt.Fprintf(w, "%s--cache-from %s\n", indent, u.CacheFrom())
}
