package main

import (
	"github.com/agnivade/levenshtein"
	"github.com/urfave/cli/v2"
)

// suggestCommand is what the library suggests for a name, if it is near: among many commands it finds one for
// anything.
func suggestCommand(all []*cli.Command, name string) string {
	suggestion := cli.SuggestCommand(all, name)
	for _, c := range all {
		for _, known := range c.Names() {
			if suggestion == "Did you mean \""+known+"\"?" && 2*levenshtein.ComputeDistance(known, name) <= len(name) {
				return suggestion
			}
		}
	}
	return ""
}
