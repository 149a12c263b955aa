package main

import (
	"context"
	"regexp"

	"github.com/urfave/cli/v3"
)

// The library's errors, which are text alone.
var (
	noFlag   = regexp.MustCompile(`^flag provided but not defined: -+(.*)$`)
	noValue  = regexp.MustCompile(`^flag needs an argument: (.*)$`)
	badValue = regexp.MustCompile(`^invalid value (".*") for flag -(\S+): `)
	badEnv   = regexp.MustCompile(`^could not parse (".*") as bool value from environment variable "(\S+)"`)
)

// onUsageError says in our words what the library finds wrong with flags.
func onUsageError(_ context.Context, c *cli.Command, err error, _ bool) error {
	if m := noFlag.FindStringSubmatch(err.Error()); m != nil {
		return noSuchFlag(c, m[1])
	}
	if m := noValue.FindStringSubmatch(err.Error()); m != nil {
		return usagef("%s needs a value; `%s --help` tells more", m[1], c.FullName())
	}
	if m := badValue.FindStringSubmatch(err.Error()); m != nil {
		return badFlag(c, m[2], m[1])
	}
	return usagef("%w; `%s --help` lists the flags", err, c.FullName())
}

func noSuchFlag(c *cli.Command, name string) error {
	return usagef("there is no flag --%s%s `%s --help` lists the flags", name, meant(cli.SuggestFlag(c.Flags, name, true)), c.FullName())
}

// badFlag is for a flag whose value the library reads: the others are text to it.
func badFlag(c *cli.Command, name, quoted string) error {
	want := "a number"
	if _, isSwitch := c.Value(name).(bool); isSwitch {
		want = "true or false"
	}
	return usagef("--%s: %s must be %s; `%s --help` lists the flags", name, quoted, want, c.FullName())
}

// badVariable is an error of the app, in our words if it is for an environment variable: that one the library does
// not take for wrong usage.
func badVariable(app *cli.Command, err error) error {
	if err == nil {
		return nil
	}
	if m := badEnv.FindStringSubmatch(err.Error()); m != nil {
		return usagef("$%s: %s must be true or false; `layoutfs %s --help` lists the flags", m[2], m[1], app.Args().First())
	}
	return err
}

func noSuchCommand(app *cli.Command, name string) error {
	return usagef("there is no command %q%s `layoutfs help` lists them", name, meant(suggestCommand(app, name)))
}

// meant is the end of a clause, with a suggestion if there is one.
func meant(suggestion string) string {
	if suggestion == "" {
		return ";"
	}
	return ", did you mean " + suggestion + "?"
}
