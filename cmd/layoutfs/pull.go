package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/index/tag"
	"github.com/layoutfs/layoutfs/inspect/move"
)

func pullCommand() *cli.Command {
	return &cli.Command{
		Name:      "pull",
		Category:  groupChange,
		Usage:     "bring names to a folder, as an OCI image layout",
		ArgsUsage: "DIR NAME...",
		Description: "DIR becomes a folder that works without layoutfs: a cache for\n" +
			"--cache-from type=local,src=DIR, an image for skopeo and others. What is in it\n" +
			"already stays. Only what it lacks is downloaded; everything is verified, and\n" +
			"what was broken off goes on when it is tried again. The name of the CSV becomes\n" +
			"the tag latest, any other name a tag.\n\n" +
			"   layoutfs pull --s3 region=eu-west-1,bucket=ci-cache ./cache main\n" +
			"   layoutfs pull --s3 region=eu-west-1,bucket=ci-cache --as v1 ./cache app\n" +
			"   layoutfs pull --all ./everything" + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags: whereFlags(
			&cli.BoolFlag{Name: "all", Usage: "pull all names"},
			&cli.StringFlag{Name: "as", Usage: "give the only NAME the tag `TAG`"}),
		Action: func(ctx context.Context, c *cli.Command) (err error) {
			low := 2
			if c.Bool("all") {
				low = 1
			}
			args, err := nameArgs(c, low, 1_000, "a DIR and NAMEs, or a DIR and --all")
			if err != nil {
				return err
			}
			w, err := openWhere(ctx, c)
			if err != nil {
				return err
			}
			names, err := chosen(ctx, c, w.source, args[1:], c.Bool("all"))
			if err != nil {
				return err
			}
			configured, err := w.configured(ctx)
			if err != nil {
				return err
			}
			to, err := move.ToLayout(args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, to.Close()) }()
			return carry(ctx, c, "pulling", w.source, to, names, func(name string) []string {
				if as := c.String("as"); as != "" {
					return []string{as}
				}
				key, _ := configured.Key("", name)
				return []string{key}
			})
		},
	}
}

// configured are the names that are the tag latest.
func (w *where) configured(ctx context.Context) (tag.Names, error) {
	switch {
	case w.mount != nil:
		s, err := w.mount.Status(ctx)
		return s.Bucket.Names, err
	case w.bucket != nil:
		return w.bucket.Config().Names, nil
	}
	return tag.Names{""}, nil // no name is
}
