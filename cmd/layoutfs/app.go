package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
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
	unsetEmpty()
	app := newApp()
	if args, err = flagsFirst(app, args); err != nil {
		return report(err)
	}
	return report(app.RunContext(context.Background(), args))
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

func newApp() *cli.App {
	cli.FlagStringer = flagText
	cli.VersionPrinter = func(c *cli.Context) { printVersion(c.App.Writer) }
	app := &cli.App{
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
		Flags:   []cli.Flag{cli.HelpFlag}, // the library leaves it out beside a help command that is not its own
		Commands: append([]*cli.Command{
			mountCommand(), umountCommand(), flushCommand(), statusCommand(), flagsCommand(), doctorCommand(), s3Command(),
			versionCommand(), helpCommand(), daemonCommand(),
		}, cacheCommands()...),
		Action:         noCommand,
		ExitErrHandler: func(*cli.Context, error) {}, // report does it
		OnUsageError:   onUsageError,
	}
	for _, c := range app.Commands {
		c.HideHelpCommand = true // a mountpoint may be called help
		c.OnUsageError = onUsageError
		c.Description = reflowed(c.Description, helpWidth)
	}
	return app
}

// noCommand is what runs when no command is named, or one that is unknown.
func noCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	return noSuchCommand(c, c.Args().First())
}

func noSuchCommand(c *cli.Context, name string) error {
	return usagef("there is no command %q%s `layoutfs help` lists them", name, meant(suggestCommand(c.App.Commands, name)))
}

// The library's errors: of a flag that takes a value none reaches it.
var (
	noFlag  = regexp.MustCompile(`^flag provided but not defined: -+(.*)$`)
	badBool = regexp.MustCompile(`^invalid boolean value (".*") for -(\S+): `)
	badEnv  = regexp.MustCompile(`^could not parse (".*") as bool value from environment variable "(\S+)"`)
)

func onUsageError(c *cli.Context, err error, _ bool) error {
	text := err.Error() + ";"
	if m := noFlag.FindStringSubmatch(err.Error()); m != nil {
		text = fmt.Sprintf("there is no flag --%s%s", m[1], meant(cli.SuggestFlag(c.Command.Flags, m[1], true)))
	} else if m := badBool.FindStringSubmatch(err.Error()); m != nil {
		text = fmt.Sprintf("--%s: %s must be true or false;", m[2], m[1])
	} else if m := badEnv.FindStringSubmatch(err.Error()); m != nil {
		text = fmt.Sprintf("$%s: %s must be true or false;", m[2], m[1])
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
		return "", usagef("only one %s can be given, not %d: %s", what, len(args), strings.Join(args, " "))
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
