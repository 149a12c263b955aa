package main

import (
	"context"
	"encoding/json"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Category:  groupLook,
		Usage:     "print everything that is known of names, as JSON",
		ArgsUsage: "NAME...",
		Description: "Prints manifest, layers and, of a cache, all records: digests, inputs with\n" +
			"their selectors, results. The names of the fields are stable.\n\n" +
			"   layoutfs inspect main\n" +
			"   layoutfs inspect --format '{{len .Records}}' main\n" +
			"   layoutfs inspect --format json main | jq '.layers[].digest'\n\n" +
			"--format json prints one object a line; a Go template sees the fields of the\n" +
			"same object, such as {{.Size}}." + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags:              whereFlags(formatFlag("text"), platformFlag()),
		Action: func(ctx context.Context, c *cli.Command) error {
			args, err := nameArgs(c, 1, 1_000, "one NAME or more")
			if err != nil {
				return err
			}
			if err := checkFormat[inspect.Document](c); err != nil {
				return err
			}
			src, err := openSource(ctx, c)
			if err != nil {
				return err
			}
			for _, name := range args {
				cache, err := readCache(ctx, c, src, name)
				if err != nil {
					return err
				}
				if err := printDocument(c, cache.Document()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func printDocument(c *cli.Command, doc inspect.Document) error {
	if c.String("format") != "text" {
		return lines(c, []inspect.Document{doc}, nil)
	}
	enc := json.NewEncoder(c.Writer)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}
