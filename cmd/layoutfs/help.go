package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/urfave/cli/v3"
)

// The groups of mount's flags in its help.
const (
	groupBucket      = "BUCKET:"
	groupCredentials = "CREDENTIALS:"
	groupServer      = "SERVER:"
	groupObjects     = "OBJECTS:"
	groupRequests    = "REQUESTS:"
	groupPrinted     = "THE --cache-to THAT IS PRINTED:"
	groupEmbedded    = "INSTEAD OF A BUCKET:"
	groupDisk        = "LOCAL DISK:"
	groupMount       = "MOUNT:"
	groupProcess     = "PROCESS:"
)

// groupedHelp is the help of a command with flags in groups, in the order in which they are declared: the
// library's own sorts them by name.
const groupedHelp = `NAME:
   {{template "helpNameTemplate" .}}

USAGE:
   {{template "usageTemplate" .}}

DESCRIPTION:
   {{template "descriptionTemplate" .}}
{{$group := ""}}{{range .VisibleFlags}}{{if ne .GetCategory $group}}{{$group = .GetCategory}}
{{$group}}
{{end}}   {{.}}
{{end}}`

// usageWidth is how many columns the text on a flag may take: beside the longest name it fits a terminal
// of 80.
const usageWidth = 44

func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "show all commands, or the help of one",
		ArgsUsage: "[COMMAND]",
		Action: func(ctx context.Context, c *cli.Command) error {
			if !c.Args().Present() {
				return cli.ShowRootCommandHelp(c)
			}
			name, err := oneArgument(c, "COMMAND")
			if err != nil {
				return err
			}
			if c.Root().Command(name) == nil {
				return noSuchCommand(c.Root(), name)
			}
			return cli.ShowCommandHelp(ctx, c.Root(), name)
		},
	}
}

// showHelp is for a command with --help and arguments, among which the library looks for further commands.
func showHelp(ctx context.Context, c *cli.Command, _ string) {
	_ = cli.ShowCommandHelp(ctx, c.Root(), c.Name) // it is there
}

// flagText is a flag in a help: its names, and beside them what it does, in lines that fit a terminal.
func flagText(f cli.Flag) string {
	flag, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return ""
	}
	usage, value := withoutQuotes(flag.GetUsage())
	if text := cmp.Or(flag.GetDefaultText(), strings.Trim(flag.GetValue(), `"`)); text != "" && flag.TakesValue() {
		usage += " (default: " + text + ")"
	}
	var names []string
	for _, name := range f.Names() {
		dashes := "--"
		if len(name) == 1 {
			dashes = "-"
		}
		names = append(names, strings.TrimSpace(dashes+name+" "+value))
	}
	return strings.Join(names, ", ") + "\t" + strings.Join(wrapped(usage, usageWidth), "\n   \t")
}

// withoutQuotes is a usage text without the backquotes around the name of the flag's value, and that name.
func withoutQuotes(usage string) (text, value string) {
	before, rest, _ := strings.Cut(usage, "`")
	value, after, _ := strings.Cut(rest, "`")
	return before + value + after, value
}

// wrapped cuts a text between words into lines of at most width bytes, where its words allow that.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

// reflowed wraps the paragraphs of a text. Lines that are indented are examples, and stay as they are.
func reflowed(text string, width int) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		if !strings.HasPrefix(p, " ") && !strings.Contains(p, "\n ") {
			paragraphs[i] = strings.Join(wrapped(p, width), "\n")
		}
	}
	return strings.Join(paragraphs, "\n\n")
}
