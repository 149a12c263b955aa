package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/records"
)

func whyCommand() *cli.Command {
	return &cli.Command{
		Name:      "why",
		Category:  groupLook,
		Usage:     "tell where a build left a cache, and why",
		ArgsUsage: "OLD NEW | [NEW] --from-build LOG",
		Description: "OLD is the cache that a build should have used, NEW the one that it wrote.\n" +
			"The step is found at which NEW has something that OLD has not, while all\n" +
			"that it builds on is in OLD; and whether the operation is new, or the files\n" +
			"that it takes. With a log (--progress=rawjson says most, plain less; - reads\n" +
			"standard input) the step has a name; without OLD, the log alone says where\n" +
			"the build left its cache.\n\n" +
			"   layoutfs why main feature\n" +
			"   docker buildx build --progress=rawjson ... 2>build.log\n" +
			"   layoutfs why main feature --from-build build.log\n\n" +
			"What cannot be known from a cache: it holds digests of commands, of paths\n" +
			"and of files, and no digest can be read backwards. So it tells that an\n" +
			"operation is new, and not what of it: its command, an argument, a variable,\n" +
			"the platform; that files are new, and not which. A buildkitd that was\n" +
			"started with --debugaddr ADDR and --save-cache-debug remembers what it made\n" +
			"digests of: --buildkitd-debug asks it." + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags: whereFlags(formatFlag("text"), truncFlag(),
			&cli.StringFlag{Name: "from-build", Usage: "`FILE` with the log of the build"},
			&cli.StringFlag{Name: "buildkitd-debug", Usage: "`URL` of a buildkitd's debug address, such as http://127.0.0.1:6060"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			args, err := whyArgs(c)
			if err != nil {
				return err
			}
			if err := checkFormat[inspect.Why](c); err != nil {
				return err
			}
			log, err := readLog(c)
			if err != nil {
				return err
			}
			w, err := explain(ctx, c, args, log)
			if err != nil {
				return err
			}
			return lines(c, []inspect.Why{*w}, func(out io.Writer) error { return printWhy(c, out, w) })
		},
	}
}

func whyArgs(c *cli.Command) ([]string, error) {
	low := 2
	if c.String("from-build") != "" {
		low = 0
	}
	return nameArgs(c, low, 2, "two NAMEs, the old cache and the new, or --from-build LOG")
}

// readLog reads the log of a build; nil if none is given.
func readLog(c *cli.Command) (*records.Build, error) {
	path := c.String("from-build")
	switch path {
	case "":
		return nil, nil
	case "-":
		return records.ParseLog(os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, usagef("--from-build: %w", err)
	}
	defer f.Close()
	b, err := records.ParseLog(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

func explain(ctx context.Context, c *cli.Command, args []string, log *records.Build) (*inspect.Why, error) {
	var plain inspect.Plaintexts
	if url := c.String("buildkitd-debug"); url != "" {
		plain = &inspect.Buildkitd{URL: url}
	}
	if len(args) == 0 {
		return inspect.ExplainLog(ctx, nil, log, plain)
	}
	src, err := openSource(ctx, c)
	if err != nil {
		return nil, err
	}
	if len(args) == 1 {
		now, err := readCache(ctx, c, src, args[0])
		if err != nil {
			return nil, err
		}
		return inspect.ExplainLog(ctx, now, log, plain)
	}
	old, now, err := readBoth(ctx, c, src, args[0], args[1])
	if err != nil {
		return nil, err
	}
	return inspect.Explain(ctx, old, now, log, plain)
}

// printWhy words it for people.
func printWhy(c *cli.Command, w io.Writer, why *inspect.Why) error {
	p := whyPrinter{c: c, w: w, paint: painterFor(w)}
	switch {
	case why.Old != "":
		fmt.Fprintf(w, "Of %s in %s, %d are in %s.\n", english.Plural(why.Known+why.Unknown, "operation", ""), why.New, why.Known, why.Old)
	case why.Log != nil:
		fmt.Fprintf(w, "Of %s in the log, %d came from the cache.\n", english.Plural(why.Log.Ran+why.Log.Cached, "step", ""), why.Log.Cached)
	}
	if len(why.Departures) == 0 {
		fmt.Fprintln(w, "The build did not leave the cache.")
	}
	for i, d := range why.Departures {
		fmt.Fprintf(w, "\n%d. %s\n", i+1, p.title(d))
		p.departure(d)
	}
	for _, note := range why.Notes {
		fmt.Fprintf(w, "\nNote: %s.\n", note)
	}
	if why.Log == nil && len(why.Departures) > 0 && c.String("buildkitd-debug") == "" {
		fmt.Fprintln(w, "\nA cache has no names of steps: --from-build LOG adds them, `layoutfs why --help` tells more.")
	}
	return nil
}

type whyPrinter struct {
	c     *cli.Command
	w     io.Writer
	paint painter
}

func (p whyPrinter) title(d inspect.Departure) string {
	if d.Step != "" {
		return p.paint(bold, d.Step)
	}
	return p.paint(bold, p.recordText(*d.Record))
}

// kindWords says what a record probably is.
var kindWords = map[records.Kind]string{
	records.Exec: "an exec (a RUN)", records.Copy: "a copy (a COPY or ADD)", records.Other: "a step of another kind",
}

func (p whyPrinter) recordText(r inspect.DocumentRecord) string {
	text := fmt.Sprintf("record %s, probably %s", shortDigest(p.c, r.Digest), kindWords[r.Kind])
	if n := len(r.Layers); n > 0 {
		text += ", layer " + shortDigest(p.c, r.Layers[n-1])
	}
	return text
}

// reasons are in the words of people.
var reasons = map[records.Reason]string{
	records.NewOperation: "The operation is new: on the same inputs, the old cache has nothing that does this. Its command, an argument,\n" +
		"a variable, a destination or the platform has changed, or the step was added.",
	records.NewInput: "The operation is in the old cache, but what it takes is new:",
	records.NewBoth:  "The operation is new, and so is what it takes:",
	records.NewPlace: "The operation and all that it takes are in the old cache, but not together: the order of steps has changed.",
}

func (p whyPrinter) departure(d inspect.Departure) {
	say := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		fmt.Fprintln(p.w, "   "+strings.ReplaceAll(text, "\n", "\n   "))
	}
	if d.Step != "" && d.Record != nil {
		say("%s", p.recordText(*d.Record))
	}
	if d.Reason != "" {
		say("%s", reasons[d.Reason])
	}
	for _, in := range d.Changed {
		was := ""
		for _, old := range in.Old {
			was += ", in the old cache " + shortDigest(p.c, old)
		}
		say("  input %d is now %s%s%s", in.Input, shortDigest(p.c, in.New), was, ifAny(": ", in.Plain))
	}
	if len(d.Changed) > 0 {
		say("that is the content of files, or a source such as an image; a cache does not say which files.")
	}
	if d.Plain != "" {
		say("buildkitd made it of: %s", d.Plain)
	}
	for i, old := range d.Instead {
		was := ""
		if i < len(d.WasOf) {
			was = ifAny(", made of: ", d.WasOf[i])
		}
		say("In its place the old cache has %s%s.", p.recordText(old), was)
	}
	if len(d.Made) > 0 {
		say("Its layer has %s.", strings.Join(d.Made, ", "))
	}
	if d.After > 0 {
		say("%s of the build come after it, and are new for that.", english.Plural(d.After, "further step", ""))
	}
}
