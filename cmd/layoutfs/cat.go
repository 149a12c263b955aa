package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"

	"github.com/urfave/cli/v3"
)

func catCommand() *cli.Command {
	return &cli.Command{
		Name:      "cat",
		Category:  groupLook,
		Usage:     "print a file that is in the layers",
		ArgsUsage: "NAME PATH",
		Description: "Prints the file that the layers of NAME show at PATH; links are followed. Of\n" +
			"estargz and zstd:chunked layers only the file itself is read. --layer is the\n" +
			"beginning of a digest as `tree` shows them: the file as it is up to there.\n\n" +
			"   layoutfs cat main /etc/os-release\n" +
			"   layoutfs cat --layer 5fd61c7dc9a2 main /app/version" + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags: whereFlags(platformFlag(),
			&cli.StringFlag{Name: "layer", Usage: "look at the file system up to a layer or record with this `DIGEST`"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			args, err := nameArgs(c, 2, 2, "a NAME and a PATH")
			if err != nil {
				return err
			}
			src, err := openSource(ctx, c)
			if err != nil {
				return err
			}
			cache, err := readCache(ctx, c, src, args[0])
			if err != nil {
				return err
			}
			stack, err := cache.Stack(c.String("layer"))
			if err != nil {
				return err
			}
			err = cache.Cat(ctx, stack, args[1], c.Writer)
			if errors.Is(err, iofs.ErrNotExist) {
				return fmt.Errorf("%w; `layoutfs files -q %s` lists what there is", err, args[0])
			}
			return err
		},
	}
}
