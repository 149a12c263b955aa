package main

import (
	"cmp"
	"slices"

	"github.com/urfave/cli/v3"
)

// The groups of commands in the list of all.
const (
	groupLook   = "LOOKING INTO A CACHE"
	groupChange = "CHANGING A CACHE"
)

// cacheCommands look into a cache and change one, mounted or not.
func cacheCommands() []*cli.Command {
	all := []*cli.Command{
		lsCommand(), treeCommand(), inspectCommand(), duCommand(), filesCommand(), catCommand(), diffCommand(), whyCommand(),
		verifyCommand(),
		pushCommand(), pullCommand(), copyCommand(), tagCommand(), rmCommand(), pinCommand(), warmCommand(), pruneCommand(),
	}
	for _, c := range all {
		arrange(c.Flags)
	}
	return append(all, completionCommand(), completeCommand(), manCommand())
}

// arrange puts flags in order: a command's own, those of its output, and where it looks.
func arrange(flags []cli.Flag) {
	order := []string{groupOptions, groupOutput, groupWhere}
	for _, f := range flags {
		if f, ok := f.(cli.CategorizableFlag); ok {
			f.SetCategory(cmp.Or(f.GetCategory(), groupOptions))
		}
	}
	slices.SortStableFunc(flags, func(a, b cli.Flag) int {
		return cmp.Compare(slices.Index(order, category(a)), slices.Index(order, category(b)))
	})
}

func category(f cli.Flag) string {
	if c, ok := f.(cli.CategorizableFlag); ok {
		return c.GetCategory()
	}
	return ""
}
