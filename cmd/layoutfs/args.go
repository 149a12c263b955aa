package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst moves a command's flags before its arguments, so that `layoutfs mount MOUNTPOINT -d` is what it
// looks like: the library takes for an argument whatever follows the first one. What follows "--" stays.
func flagsFirst(app *cli.App, args []string) ([]string, error) {
	if len(args) < 2 {
		return args, nil
	}
	command := app.Command(args[1])
	if command == nil {
		return args, nil
	}
	var flags, rest []string
	for todo := args[2:]; len(todo) > 0; {
		arg := todo[0]
		todo = todo[1:]
		switch {
		case slices.Contains(cli.HelpFlag.Names(), strings.TrimLeft(arg, "-")) && arg[0] == '-':
			return slices.Concat(args[:2], []string{arg}), nil // of what else is there the library wants a help
		case arg == "--":
			rest, todo = append(rest, todo...), nil
		case arg == "-" || !strings.HasPrefix(arg, "-"):
			rest = append(rest, arg)
		case !wantsValue(command, arg):
			flags = append(flags, arg)
		case len(todo) == 0:
			return nil, usagef("%s needs a value; `layoutfs %s --help` tells more", arg, command.Name)
		default:
			flags, todo = append(flags, arg, todo[0]), todo[1:]
		}
	}
	return slices.Concat(args[:2], flags, []string{"--"}, rest), nil
}

// wantsValue says whether the next argument is the value of a flag.
func wantsValue(command *cli.Command, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	for _, f := range command.Flags {
		if slices.Contains(f.Names(), name) {
			_, isSwitch := f.(*cli.BoolFlag)
			return !isSwitch
		}
	}
	return false // unknown, or with its value after "="
}
