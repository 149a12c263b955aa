package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect/move"
)

func tagCommand() *cli.Command {
	return &cli.Command{
		Name:      "tag",
		Category:  groupChange,
		Usage:     "give a cache another name, too",
		ArgsUsage: "NAME NEW",
		Description: "Nothing is copied: NEW stands for what NAME stands for now. A NEW that is there\n" +
			"already is replaced.\n\n" +
			"   layoutfs tag main release/1.4" + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags:              whereFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			args, err := nameArgs(c, 2, 2, "two NAMEs, the one that is there and the new one")
			if err != nil {
				return err
			}
			k, src, err := openChanger(ctx, c)
			if err != nil {
				return err
			}
			if _, err := src.Name(ctx, args[0]); errors.Is(err, iofs.ErrNotExist) {
				return noSuchName(ctx, src, args[0])
			}
			if err := move.Tag(ctx, src, k, args[0], args[1], touchRefresh(k)); err != nil {
				return err
			}
			fmt.Fprintf(c.Writer, "%s is %s now\n", args[1], args[0])
			return nil
		},
	}
}
