package main

import (
	"context"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
)

// run runs a command line and gives the exit status.
func run(args []string) int {
	args, err := daemon.HideSecrets(args)
	if err != nil {
		return report(err)
	}
	unsetEmpty()
	app := newApp()
	return report(badVariable(app, app.Run(context.Background(), args)))
}

// unsetEmpty forgets those of our environment variables that are empty, which is how CI systems pass on
// what is not set. An empty value can be given as a flag.
func unsetEmpty() {
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); value == "" && strings.HasPrefix(name, envPrefix) {
			_ = os.Unsetenv(name) // it fails for names that no variable can have
		}
	}
}

// helpWidth is how wide a description is: the help indents it, and a terminal has 80 columns.
const helpWidth = 77

func newApp() *cli.Command {
	cli.VersionPrinter = func(c *cli.Command) { printVersion(c.Writer) }
	app := &cli.Command{
		Name:      "layoutfs",
		Usage:     "a folder that is an S3 bucket, for build caches",
		UsageText: "layoutfs COMMAND [OPTIONS] [ARGUMENTS]",
		Description: "Mounts an OCI image layout whose blobs live in S3, in the very layout that\n" +
			"BuildKit's type=s3 cache uses.\n\n" +
			"   layoutfs mount --s3 region=eu-west-1,bucket=ci-cache -d /mnt/cache\n" +
			"   docker buildx build --cache-to type=local,dest=/mnt/cache .\n" +
			"   layoutfs umount /mnt/cache\n\n" +
			"Exit status: 0 done, 1 failed, 2 wrong usage.",
		Version: version,
		Commands: append([]*cli.Command{
			mountCommand(), umountCommand(), flushCommand(), statusCommand(), flagsCommand(), doctorCommand(), s3Command(),
			versionCommand(), helpCommand(), daemonCommand(),
		}, cacheCommands()...),
		HideHelpCommand: true,   // in commands: a mountpoint may be called help
		StopOnNthArg:    new(1), // what follows a command that is unknown does not matter
		Action:          noCommand,
		ExitErrHandler:  func(context.Context, *cli.Command, error) {}, // report does it
		OnUsageError:    onUsageError,
	}
	for _, c := range app.Commands {
		finish(c)
	}
	return app
}

// finish gives a command what all of them have.
func finish(c *cli.Command) {
	c.UsageText = strings.TrimRight("layoutfs "+c.Name+" [command options] "+c.ArgsUsage, " ")
	c.Description = reflowed(c.Description, helpWidth)
	for _, f := range c.Flags {
		f.(cli.StringerSetter).SetStringer(flagText)
	}
	c.OnUsageError = onUsageError
	c.CommandNotFound = showHelp
	c.Before = checkArgs
}

// noCommand is what runs when no command is named, or one that is unknown.
func noCommand(_ context.Context, c *cli.Command) error {
	if !c.Args().Present() {
		return cli.ShowRootCommandHelp(c)
	}
	return noSuchCommand(c, c.Args().First())
}

// isTerminal says whether people look at a file.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
