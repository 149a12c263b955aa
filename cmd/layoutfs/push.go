package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/index/tag"
	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/move"
	"github.com/layoutfs/layoutfs/inspect/source"
)

func pushCommand() *cli.Command {
	return &cli.Command{
		Name:      "push",
		Category:  groupChange,
		Usage:     "bring a folder's names to a bucket, without a mount",
		ArgsUsage: "DIR [TAG...]",
		Description: "DIR is a folder with an OCI image layout, such as a cache of type=local or an\n" +
			"image of type=oci,tar=false. Its tags become names, all of them unless TAGs are\n" +
			"given; latest becomes the name of the CSV, as in the root of a mount. Only what\n" +
			"the bucket lacks is uploaded, and a name is written when all is there that it\n" +
			"reaches. What was broken off goes on when it is tried again.\n\n" +
			"   layoutfs push --s3 region=eu-west-1,bucket=ci-cache ./cache\n" +
			"   layoutfs push --s3 region=eu-west-1,bucket=ci-cache --as app ./cache v1",
		CustomHelpTemplate: groupedHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "s3", Category: groupWhere, Usage: "the bucket, by the `CSV` of --cache-to type=s3,... (default: $LAYOUTFS_S3)"},
			&cli.StringFlag{Name: "as", Usage: "call the only TAG `NAME`"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			args, err := nameArgs(c, 1, 1_000, "a DIR and perhaps TAGs")
			if err != nil {
				return err
			}
			dir, err := daemon.Resolve(args[0])
			if err != nil {
				return usageError{err}
			}
			from, err := source.OpenLayout(dir)
			if err != nil {
				return err
			}
			tags, err := chosen(ctx, c, from, args[1:], true)
			if err != nil {
				return err
			}
			client, err := theBucket(ctx, c, "s3")
			if err != nil {
				return err
			}
			return carry(ctx, c, "pushing", from, move.ToBucket(client, nil), tags, func(key string) []string {
				if as := c.String("as"); as != "" {
					return []string{as}
				}
				return tag.Names(client.Config().Names).Of("", key)
			})
		},
	}
}

// chosen are the names that are given, or all if none need be given; with --as there must be one.
func chosen(ctx context.Context, c *cli.Command, from inspect.Source, names []string, allowAll bool) ([]string, error) {
	if len(names) == 0 && allowAll {
		for n, err := range from.Names(ctx) {
			if err != nil {
				return nil, err
			}
			names = append(names, n.Name)
		}
	}
	if c.String("as") != "" && len(names) != 1 {
		return nil, usagef("--as is for one name, and there are %d", len(names))
	}
	for _, name := range names {
		if _, err := from.Name(ctx, name); err != nil {
			return nil, noSuchName(ctx, from, name)
		}
	}
	return names, nil
}
