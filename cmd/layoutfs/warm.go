package main

import (
	"context"
	"fmt"

	"github.com/dustin/go-humanize/english"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect"
)

func warmCommand() *cli.Command {
	return &cli.Command{
		Name:      "warm",
		Category:  groupChange,
		Usage:     "bring names to a mount's local disk, ahead of a build",
		ArgsUsage: "NAME...",
		Description: "Downloads and verifies everything that the names reach and that is not on local\n" +
			"disk. --record takes the layers of one record or one layer with those below it:\n" +
			"the beginning of a digest, as `tree` shows them.\n\n" +
			"   layoutfs warm main\n" +
			"   layoutfs warm --record 5fd61c7dc9a2 main",
		CustomHelpTemplate: groupedHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "layout", Category: groupWhere, Usage: "the mountpoint, `DIR` (default: the only mount)"},
			&cli.StringFlag{Name: "record", Usage: "warm what the record or layer with this `DIGEST` needs"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			args, err := nameArgs(c, 1, 1_000, "one NAME or more")
			if err != nil {
				return err
			}
			w, err := openWhere(ctx, c)
			if err != nil {
				return err
			}
			src, ok := w.source.(inspect.Warmer)
			if !ok {
				return usagef("warm needs a mount: it is the mount's local disk that is filled")
			}
			ctx, cancel := interruptible(ctx)
			defer cancel()
			for _, name := range args {
				if err := warm(ctx, c, src, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func warm(ctx context.Context, c *cli.Command, src inspect.Warmer, name string) error {
	cache, err := readCache(ctx, c, src, name)
	if err != nil {
		return err
	}
	blobs := cache.Closure
	if record := c.String("record"); record != "" {
		if blobs, err = cache.Stack(record); err != nil {
			return err
		}
	}
	cold, err := inspect.Cold(ctx, src, blobs)
	if err != nil {
		return err
	}
	size := bytesOf(cold)
	m := newMeter(ctx, c, "warming "+name, size)
	defer m.stop()
	if err := inspect.Fetch(ctx, src, cold, m.add); err != nil {
		return err
	}
	m.stop()
	if left, err := inspect.Cold(ctx, src, cold); err == nil && len(left) > 0 {
		fmt.Fprintf(c.ErrWriter, "layoutfs: %s: %s went again at once: local disk is full, or --cache-size is too small\n", name, english.Plural(len(left), "blob", ""))
	}
	fmt.Fprintf(c.Writer, "%s: %s in %s fetched, %s was there\n", name, sizeText(size), english.Plural(len(cold), "blob", ""), sizeText(bytesOf(blobs)-size))
	return nil
}

func bytesOf(blobs []ocispec.Descriptor) (n int64) {
	for _, d := range blobs {
		n += d.Size
	}
	return n
}
