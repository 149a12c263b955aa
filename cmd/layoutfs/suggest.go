package main

import (
	"github.com/agnivade/levenshtein"
	"github.com/urfave/cli/v3"
)

// suggestCommand is what the library suggests for a name, if it is near: among many commands it finds one for
// anything.
func suggestCommand(app *cli.Command, name string) string {
	near := cli.SuggestCommand(app.Commands, name)
	if app.Command(near) == nil || 2*levenshtein.ComputeDistance(near, name) > len(name) {
		return ""
	}
	return near
}
