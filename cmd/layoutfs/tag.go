package main

import (
	"errors"
	"fmt"
	iofs "io/fs"

	"github.com/urfave/cli/v2"

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
		Action: func(c *cli.Context) error {
			args, err := nameArgs(c, 2, 2, "two NAMEs, the one that is there and the new one")
			if err != nil {
				return err
			}
			k, src, err := openChanger(c)
			if err != nil {
				return err
			}
			if _, err := src.Name(c.Context, args[0]); errors.Is(err, iofs.ErrNotExist) {
				return noSuchName(c, src, args[0])
			}
			if err := move.Tag(c.Context, src, k, args[0], args[1], touchRefresh(k)); err != nil {
				return err
			}
			fmt.Fprintf(c.App.Writer, "%s is %s now\n", args[1], args[0])
			return nil
		},
	}
}
