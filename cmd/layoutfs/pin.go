package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/urfave/cli/v3"
)

func pinCommand() *cli.Command {
	return &cli.Command{
		Name:      "pin",
		Category:  groupChange,
		Usage:     "keep names from being pruned, whatever the rules",
		ArgsUsage: "[NAME...]",
		Description: "A pinned name is kept by every `prune` of the bucket, on any machine. It can be\n" +
			"pinned before it is there, and stays pinned when it is written anew. Without a\n" +
			"NAME the pins are listed. They are objects of their own, beside the cache, which\n" +
			"BuildKit does not see.\n\n" +
			"   layoutfs pin main release/1.4\n" +
			"   layoutfs pin --remove release/1.4" + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags:              whereFlags(&cli.BoolFlag{Name: "remove", Usage: "unpin the names"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			args := c.Args().Slice()
			if len(args) == 0 && c.Bool("remove") {
				return usagef("which names? `layoutfs pin` lists those that are pinned")
			}
			k, _, err := openChanger(ctx, c)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return listPins(ctx, c, k)
			}
			change, done := k.PutPin, "pinned"
			if c.Bool("remove") {
				change, done = k.DeletePin, "unpinned"
			}
			for _, name := range args {
				if err := change(ctx, name); err != nil {
					return err
				}
				fmt.Fprintf(c.Writer, "%s %s\n", done, name)
			}
			return nil
		},
	}
}

func listPins(ctx context.Context, c *cli.Command, k changer) error {
	pins, err := k.Pins(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(pins)) {
		fmt.Fprintln(c.Writer, name)
	}
	return nil
}
