package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/layoutfs/layoutfs/daemon"
)

// run runs a command line and gives the exit status.
func run(args []string) int {
	args, err := daemon.HideSecrets(args)
	if err != nil {
		return report(err)
	}
	app := newApp()
	if args, err = flagsFirst(app, args); err != nil {
		return report(err)
	}
	return report(app.RunContext(context.Background(), args))
}

func newApp() *cli.App {
	app := &cli.App{
		Name:      "layoutfs",
		Usage:     "a folder that is an S3 bucket, for build caches",
		UsageText: "layoutfs COMMAND [OPTIONS] [ARGUMENTS]",
		Description: "Mounts an OCI image layout whose blobs live in S3, in the very layout that BuildKit's\n" +
			"type=s3 cache uses. Exit status: 0 done, 1 failed, 2 wrong usage.",
		Version: version,
		Commands: []*cli.Command{
			mountCommand(), umountCommand(), flushCommand(), statusCommand(), s3Command(), versionCommand(), daemonCommand(),
		},
		Action:         noCommand,
		ExitErrHandler: func(*cli.Context, error) {}, // report does it
		OnUsageError:   onUsageError,
	}
	for _, c := range app.Commands {
		c.HideHelpCommand = true // a mountpoint may be called help
		c.OnUsageError = onUsageError
	}
	return app
}

// noCommand is what runs when no command is named, or one that is unknown.
func noCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	name := c.Args().First()
	return usagef("there is no command %q%s `layoutfs help` lists them", name, meant(cli.SuggestCommand(c.App.Commands, name)))
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	text := strings.ReplaceAll(err.Error(), "for flag -", "for flag --") + ";"
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		name = strings.TrimPrefix(name, "-")
		text = fmt.Sprintf("there is no flag --%s%s", name, meant(cli.SuggestFlag(c.Command.Flags, name, true)))
	}
	return usagef("%s `%s --help` lists the flags", text, c.Command.HelpName)
}

// meant turns a suggestion of the library into the end of a clause.
func meant(suggestion string) string {
	suggestion = strings.TrimSuffix(strings.TrimPrefix(suggestion, "Did you mean \""), "\"?")
	if suggestion == "" {
		return ";"
	}
	return ", did you mean " + suggestion + "?"
}

// oneArgument is the only argument of a command.
func oneArgument(c *cli.Context, what string) (string, error) {
	switch args := c.Args().Slice(); len(args) {
	case 1:
		return args[0], nil
	case 0:
		return "", usagef("which %s? `layoutfs %s --help` tells more", what, c.Command.Name)
	default:
		return "", usagef("one %s, not %d: %s", what, len(args), strings.Join(args, " "))
	}
}

// mountpoint is a command's only argument, resolved; "" if optional and not given.
func mountpoint(c *cli.Context, optional bool) (string, error) {
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

// isTerminal says whether people look at a file.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
