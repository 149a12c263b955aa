package main

import (
	"context"
	"fmt"
	"io"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect"
)

func duCommand() *cli.Command {
	return &cli.Command{
		Name:      "du",
		Category:  groupLook,
		Usage:     "show what takes room",
		ArgsUsage: "[NAME]",
		Description: "Shows for each name what it alone reaches, which is what goes when it goes,\n" +
			"and what it shares with others; and at the end what no name reaches, which\n" +
			"`prune` removes. With a NAME it shows the blobs of that name, and how many\n" +
			"names reach each.\n\n" +
			"   layoutfs du\n" +
			"   layoutfs du --s3 region=eu-west-1,bucket=ci-cache\n" +
			"   layoutfs du main" + fmt.Sprintf(formatHelp, "Name") + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags:              whereFlags(formatFlag("table"), truncFlag()),
		Action: func(ctx context.Context, c *cli.Command) error {
			args, err := nameArgs(c, 0, 1, "one NAME at most")
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return duOf(ctx, c, args[0])
			}
			if err := checkFormat[inspect.NameUsage](c); err != nil {
				return err
			}
			return duAll(ctx, c)
		},
	}
}

func duAll(ctx context.Context, c *cli.Command) error {
	src, err := openSource(ctx, c)
	if err != nil {
		return err
	}
	m := newMeter(ctx, c, "reading names", 0)
	defer m.stop()
	u, err := inspect.DiskUsage(ctx, m.source(src))
	if err != nil {
		return err
	}
	m.stop()
	return lines(c, u.Names, func(w io.Writer) error {
		t := newTable(w, "NAME", ">UNIQUE", ">SHARED", ">TOTAL", ">BLOBS", "")
		for _, n := range u.Names {
			t.row(n.Name, sizeText(n.Unique.Bytes), sizeText(n.Shared.Bytes), sizeText(n.Total.Bytes), fmt.Sprint(n.Total.Blobs), "")
			if n.Broken != "" {
				t.rows[len(t.rows)-1][5] = cell{"broken: " + n.Broken, red}
			}
		}
		if err := t.print(w); err != nil {
			return err
		}
		return printTotals(w, u)
	})
}

// printTotals prints the sums below the names, as `docker buildx du` does.
func printTotals(w io.Writer, u *inspect.Usage) error {
	fmt.Fprintln(w)
	t := newTable(w, "", ">", "")
	for _, row := range []struct {
		name string
		inspect.Count
		about string
	}{
		{"Shared:", u.Shared, "reached by several names"},
		{"Private:", inspect.Count{Blobs: u.Reached.Blobs - u.Shared.Blobs, Bytes: u.Reached.Bytes - u.Shared.Bytes}, "reached by one"},
		{"Reclaimable:", u.Unreferenced, "reached by none: `layoutfs prune` removes it"},
		{"Missing:", u.Missing, "reached, and not there"},
		{"Total:", u.Total, ""},
	} {
		if row.name != "Missing:" || row.Blobs > 0 {
			t.row(row.name, sizeText(row.Bytes), "in "+english.Plural(row.Blobs, "blob", "")+ifAny(", ", row.about))
		}
	}
	return t.body(w)
}

// ifAny is a text with what leads to it, or nothing.
func ifAny(lead, text string) string {
	if text == "" {
		return ""
	}
	return lead + text
}

func duOf(ctx context.Context, c *cli.Command, name string) error {
	if err := checkFormat[inspect.BlobUsage](c); err != nil {
		return err
	}
	src, err := openSource(ctx, c)
	if err != nil {
		return err
	}
	if _, err := readCache(ctx, c, src, name); err != nil {
		return err
	}
	blobs, err := inspect.UsageOf(ctx, src, name)
	if err != nil {
		return err
	}
	return lines(c, blobs, func(w io.Writer) error {
		t := newTable(w, "DIGEST", ">SIZE", ">NAMES", "TYPE")
		for _, b := range blobs {
			t.row(shortDigest(c, b.Digest), sizeText(b.Size), fmt.Sprint(b.Names), b.MediaType)
		}
		return t.print(w)
	})
}
