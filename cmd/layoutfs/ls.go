package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect"
)

func lsCommand() *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Aliases:   []string{"list"},
		Category:  groupLook,
		Usage:     "list the names of a cache",
		ArgsUsage: "[PATTERN...]",
		Description: "Lists names with what they reach: bytes, each blob once; layers; the share\n" +
			"that is on local disk; and whether they can be used. In a PATTERN, * stands\n" +
			"for anything but a slash; one that ends with a slash stands for all names\n" +
			"below.\n\n" +
			"   layoutfs ls\n" +
			"   layoutfs ls --s3 region=eu-west-1,bucket=ci-cache 'release/'\n" +
			"   layoutfs ls --format '{{.Name}} {{size .Size}}'" + fmt.Sprintf(formatHelp, "Name") + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags: whereFlags(formatFlag("table"), quietFlag("names"), truncFlag(),
			&cli.StringFlag{Name: "sort", Category: groupOutput, Value: "name", Usage: "by `COLUMN`: name, size, age or local"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			order, ok := sortings[c.String("sort")]
			if !ok {
				return usagef("--sort: %q must be name, size, age or local", c.String("sort"))
			}
			want, err := patterns(c.Args().Slice())
			if err != nil {
				return err
			}
			if err := checkFormat[inspect.Summary](c); err != nil {
				return err
			}
			src, err := openSource(ctx, c)
			if err != nil {
				return err
			}
			return ls(ctx, c, src, want, order)
		},
	}
}

// sortings are the orders in which names are listed.
var sortings = map[string]func(a, b inspect.Summary) int{
	"name":  func(a, b inspect.Summary) int { return 0 },
	"size":  func(a, b inspect.Summary) int { return cmp.Compare(b.Size, a.Size) },
	"age":   func(a, b inspect.Summary) int { return a.Updated.Compare(b.Updated) },
	"local": func(a, b inspect.Summary) int { return cmp.Compare(b.Local, a.Local) },
}

// patterns says which names any of the patterns fits; without any, all.
func patterns(all []string) (func(name string) bool, error) {
	for _, p := range all {
		if path.IsAbs(p) {
			return nil, usagef("%q is a path, and names do not begin with a slash; a folder is given as --layout DIR", p)
		}
		if _, err := path.Match(p, ""); err != nil {
			return nil, usagef("%q is no pattern: a [ in it is not closed", p)
		}
	}
	return func(name string) bool {
		return len(all) == 0 || slices.ContainsFunc(all, func(p string) bool { return inspect.Fits(p, name) })
	}, nil
}

func ls(ctx context.Context, c *cli.Command, src inspect.Source, want func(string) bool, order func(a, b inspect.Summary) int) error {
	m := newMeter(ctx, c, "reading names", 0)
	defer m.stop()
	var all []inspect.Summary
	for s, err := range inspect.List(ctx, src, want) {
		if err != nil {
			return err
		}
		all = append(all, s)
		m.item()
	}
	m.stop()
	slices.SortFunc(all, func(a, b inspect.Summary) int { return cmp.Or(order(a, b), cmp.Compare(a.Name, b.Name)) })
	if c.Bool("quiet") {
		for _, s := range all {
			fmt.Fprintln(c.Writer, s.Name)
		}
		return nil
	}
	return lines(c, all, func(w io.Writer) error {
		t := newTable(w, "NAME", "KIND", "DIGEST", ">SIZE", ">LAYERS", "UPDATED", ">LOCAL", "STATUS")
		for _, s := range all {
			t.row(s.Name, string(s.Kind), shortDigest(c, s.Digest), sizeText(s.Size), fmt.Sprint(s.Layers),
				ageText(s.Updated), shareText(s.Local, s.Size), statusOf(s))
			if s.Broken != "" || s.Missing > 0 {
				t.color(red)
			}
		}
		return t.print(w)
	})
}

// statusOf says whether a name can be used.
func statusOf(s inspect.Summary) string {
	switch {
	case s.Broken != "":
		return "broken: " + s.Broken
	case s.Missing > 0:
		return english.Plural(s.Missing, "blob", "") + " missing"
	case s.Staged > 0:
		return sizeText(s.Staged) + " to upload"
	}
	return "ok"
}
