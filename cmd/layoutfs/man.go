package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"
)

func manCommand() *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "write the manual pages",
		ArgsUsage: "DIR",
		Description: "Writes a page for layoutfs and one for each command to DIR, which is made if it\n" +
			"is not there. They say what --help says.\n\n" +
			"   layoutfs man ~/.local/share/man/man1\n" +
			"   man layoutfs-prune",
		Action: func(_ context.Context, c *cli.Command) error {
			dir, err := oneArgument(c, "DIR")
			if err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			app := newApp() // which has no --help yet
			errs := []error{writePage(dir, "layoutfs", func(w io.Writer) { appPage(w, app) })}
			for _, command := range app.Commands {
				if !command.Hidden {
					errs = append(errs, writePage(dir, "layoutfs-"+command.Name, func(w io.Writer) { commandPage(w, command) }))
				}
			}
			return errors.Join(errs...)
		},
	}
}

func writePage(dir, name string, write func(io.Writer)) error {
	var b strings.Builder
	write(&b)
	return os.WriteFile(filepath.Join(dir, name+".1"), []byte(b.String()), 0o644)
}

// roff keeps a text from being taken for requests and escapes.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func head(w io.Writer, name, usage, synopsis string) {
	fmt.Fprintf(w, ".TH %s 1 \"\" \"layoutfs %s\" \"layoutfs\"\n", strings.ToUpper(name), version)
	fmt.Fprintf(w, ".SH NAME\n%s \\- %s\n", roff(name), roff(usage))
	fmt.Fprintf(w, ".SH SYNOPSIS\n%s\n", roff(synopsis))
}

func appPage(w io.Writer, app *cli.Command) {
	head(w, app.Name, app.Usage, app.UsageText)
	fmt.Fprintln(w, ".SH DESCRIPTION")
	prose(w, app.Description)
	fmt.Fprintln(w, ".SH COMMANDS")
	for _, c := range app.Commands {
		if !c.Hidden {
			fmt.Fprintf(w, ".TP\n.BR layoutfs\\-%s (1)\n%s\n", roff(c.Name), roff(c.Usage))
		}
	}
}

func commandPage(w io.Writer, c *cli.Command) {
	options := ""
	if len(c.Flags) > 0 {
		options = " [options]"
	}
	head(w, "layoutfs-"+c.Name, c.Usage, strings.TrimRight("layoutfs "+c.Name+options+" "+c.ArgsUsage, " "))
	fmt.Fprintln(w, ".SH DESCRIPTION")
	prose(w, c.Description)
	group := ""
	for _, f := range c.Flags {
		title := category(f)
		if title == "" {
			title = groupOptions
		}
		if title != group {
			group = title
			fmt.Fprintf(w, ".SH %s\n", roff(strings.TrimSuffix(group, ":")))
		}
		names, usage, _ := strings.Cut(flagText(f), "\t")
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(names), roff(strings.Join(strings.Fields(usage), " ")))
	}
	fmt.Fprint(w, ".SH SEE ALSO\n.BR layoutfs (1)\n")
}

// prose writes paragraphs; what is indented in a help are examples, which stay as they are.
func prose(w io.Writer, text string) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(paragraph, "   ") {
			fmt.Fprintf(w, ".PP\n.RS 4\n.nf\n%s\n.fi\n.RE\n", roff(strings.ReplaceAll(paragraph, "\n   ", "\n")[3:]))
			continue
		}
		fmt.Fprintf(w, ".PP\n%s\n", roff(paragraph))
	}
}
