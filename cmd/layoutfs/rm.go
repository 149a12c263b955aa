package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"

	"github.com/urfave/cli/v3"
)

func rmCommand() *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Category:  groupChange,
		Usage:     "delete names",
		ArgsUsage: "NAME...",
		Description: "Deletes the names. What only they reach stays in the bucket until `prune`.\n" +
			"Nobody is asked; a mount need not be made with --allow-delete for it.\n\n" +
			"   layoutfs rm feature/old-idea" + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags:              whereFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			args, err := nameArgs(c, 1, 1_000, "one NAME or more")
			if err != nil {
				return err
			}
			k, src, err := openChanger(ctx, c)
			if err != nil {
				return err
			}
			for _, name := range args { // none is deleted if one is misspelt
				if _, err := k.GetName(ctx, name); errors.Is(err, iofs.ErrNotExist) {
					return noSuchName(ctx, src, name)
				}
			}
			for _, name := range args {
				if err := k.DeleteName(ctx, name); err != nil {
					return err
				}
				fmt.Fprintf(c.Writer, "deleted %s\n", name)
			}
			return nil
		},
	}
}
