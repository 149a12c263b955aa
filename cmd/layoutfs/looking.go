package main

import "github.com/urfave/cli/v2"

// The groups of commands in the list of all.
const (
	groupLook   = "LOOKING INTO A CACHE"
	groupChange = "CHANGING A CACHE"
)

// cacheCommands look into a cache and change one, mounted or not.
func cacheCommands() []*cli.Command {
	return []*cli.Command{
		lsCommand(), treeCommand(), inspectCommand(), duCommand(), filesCommand(), catCommand(), diffCommand(), whyCommand(),
		verifyCommand(),
		pushCommand(), pullCommand(), copyCommand(), tagCommand(), rmCommand(), pinCommand(), warmCommand(), pruneCommand(),
	}
}
