package main

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
)

var emptyValue = regexp.MustCompile(`^\s*--?([^=]+)=$`)

// checkArgs refuses what the library lets pass: --allow-delete=$UNSET, which it takes for --allow-delete, and -1,
// which it takes for an argument, with every flag after it.
func checkArgs(ctx context.Context, c *cli.Command) (context.Context, error) {
	words := c.Root().Args().Slice()
	end := slices.Index(words, "--")
	if end < 0 {
		end = len(words)
		for _, arg := range c.Args().Slice() {
			if len(arg) > 1 && arg[0] == '-' && !c.SkipFlagParsing {
				return ctx, noSuchFlag(c, strings.TrimLeft(arg, "-"))
			}
		}
	}
	for _, word := range words[:end] {
		if m := emptyValue.FindStringSubmatch(word); m != nil {
			if _, isSwitch := c.Value(m[1]).(bool); isSwitch {
				return ctx, badFlag(c, m[1], `""`)
			}
		}
	}
	return ctx, nil
}

// oneArgument is the only argument of a command.
func oneArgument(c *cli.Command, what string) (string, error) {
	switch args := c.Args().Slice(); len(args) {
	case 1:
		return args[0], nil
	case 0:
		return "", usagef("which %s? `%s --help` tells more", what, c.FullName())
	default:
		return "", usagef("only one %s can be given, not %d: %s", what, len(args), strings.Join(args, " "))
	}
}

// mountpoint is a command's only argument, resolved; "" if optional and not given.
func mountpoint(c *cli.Command, optional bool) (string, error) {
	if optional && !c.Args().Present() {
		return "", nil
	}
	path, err := oneArgument(c, "MOUNTPOINT")
	if err != nil {
		return "", err
	}
	resolved, err := daemon.Resolve(path)
	if err != nil {
		return "", usagef("%w", err)
	}
	return resolved, nil
}
