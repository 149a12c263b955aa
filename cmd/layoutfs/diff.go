package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect"
)

func diffCommand() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Category:  groupLook,
		Usage:     "show in what two names differ",
		ArgsUsage: "NAME NAME",
		Description: "Compares records, layers, bytes, and the files in the layers that only one\n" +
			"of them has: + is in the second alone, - in the first alone, ~ has another\n" +
			"content, and m another mode, owner or link. For files those layers are read.\n\n" +
			"   layoutfs diff main feature\n" +
			"   layoutfs diff --no-files main feature\n\n" +
			"--format json prints one object." + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags: whereFlags(formatFlag("text"), truncFlag(), platformFlag(),
			&cli.BoolFlag{Name: "no-files", Usage: "do not read layers"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			args, err := nameArgs(c, 2, 2, "two NAMEs")
			if err != nil {
				return err
			}
			if err := checkFormat[inspect.Diff](c); err != nil {
				return err
			}
			src, err := openSource(ctx, c)
			if err != nil {
				return err
			}
			m := newMeter(ctx, c, "reading layers", 0)
			defer m.stop()
			a, b, err := readBoth(ctx, c, m.source(src), args[0], args[1])
			if err != nil {
				return err
			}
			d, err := inspect.Compare(ctx, a, b, !c.Bool("no-files"))
			if err != nil {
				return err
			}
			m.stop()
			return lines(c, []inspect.Diff{*d}, func(w io.Writer) error { return printDiff(c, w, d) })
		},
	}
}

func readBoth(ctx context.Context, c *cli.Command, src inspect.Source, a, b string) (*inspect.Cache, *inspect.Cache, error) {
	first, err := readCache(ctx, c, src, a)
	if err != nil {
		return nil, nil, err
	}
	second, err := readCache(ctx, c, src, b)
	return first, second, err
}

func printDiff(c *cli.Command, w io.Writer, d *inspect.Diff) error {
	paint := painterFor(w)
	t := newTable(w, "", ">ONLY "+d.A, ">ONLY "+d.B, ">BOTH")
	if d.Records != nil {
		t.row("records", fmt.Sprint(d.Records.OnlyA.Blobs), fmt.Sprint(d.Records.OnlyB.Blobs), fmt.Sprint(d.Records.Both.Blobs))
	}
	t.row("layers", diffCount(d.Layers.OnlyA), diffCount(d.Layers.OnlyB), diffCount(d.Layers.Both))
	t.row("blobs", diffCount(d.Blobs.OnlyA), diffCount(d.Blobs.OnlyB), diffCount(d.Blobs.Both))
	if err := t.print(w); err != nil {
		return err
	}
	for _, side := range []struct {
		sign   string
		layers []inspect.DocumentLayer
	}{{"-", d.OnlyA}, {"+", d.OnlyB}} {
		for _, l := range side.layers {
			fmt.Fprintln(w, paint(diffColor(side.sign), fmt.Sprintf("%s layer %s  %s", side.sign, shortDigest(c, l.Digest), sizeText(l.Size))))
		}
	}
	for _, f := range d.Files {
		sign := map[inspect.Change]string{inspect.Added: "+", inspect.Removed: "-", inspect.Content: "~", inspect.Metadata: "m"}[f.Change]
		text := fmt.Sprintf("%s %s", sign, f.Path)
		if f.Change == inspect.Content {
			text += fmt.Sprintf("  %d -> %d bytes", f.SizeA, f.SizeB)
		}
		fmt.Fprintln(w, paint(diffColor(sign), text))
	}
	return nil
}

func diffCount(n inspect.Count) string {
	if n.Blobs == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", n.Blobs, sizeText(n.Bytes))
}

func diffColor(sign string) string {
	switch sign {
	case "-":
		return red
	case "+":
		return "32"
	}
	return yellow
}
