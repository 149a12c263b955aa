package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect/move"
)

func copyCommand() *cli.Command {
	return &cli.Command{
		Name:      "copy",
		Category:  groupChange,
		Usage:     "bring names from one bucket to another",
		ArgsUsage: "NAME...",
		Description: "Blobs are copied within the server where both buckets are on one server and it\n" +
			"allows that, else they come through this machine. Only what the other bucket\n" +
			"lacks is copied.\n\n" +
			"   layoutfs copy --s3 region=eu-west-1,bucket=ci-cache \\\n" +
			"     --to-s3 region=eu-west-1,bucket=release-cache main" + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags: whereFlags(
			&cli.StringFlag{Name: "to-s3", Category: groupWhere, Usage: "the other bucket, by its `CSV`"},
			&cli.BoolFlag{Name: "all", Usage: "copy all names"},
			&cli.StringFlag{Name: "as", Usage: "call the only NAME `NAME` there"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			low := 1
			if c.Bool("all") {
				low = 0
			}
			args, err := nameArgs(c, low, 1_000, "NAMEs, or --all")
			if err != nil {
				return err
			}
			to, err := theBucket(ctx, c, "to-s3")
			if err != nil {
				return err
			}
			w, err := openWhere(ctx, c)
			if err != nil {
				return err
			}
			names, err := chosen(ctx, c, w.source, args, c.Bool("all"))
			if err != nil {
				return err
			}
			return carry(ctx, c, "copying", w.source, move.ToBucket(to, w.bucket), names, func(name string) []string {
				if as := c.String("as"); as != "" {
					return []string{as}
				}
				return []string{name}
			})
		},
	}
}
