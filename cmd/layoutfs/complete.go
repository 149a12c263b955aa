package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/layoutfs/layoutfs/daemon"
)

const (
	// answerCompletion is how long somebody waits who has pressed a key.
	answerCompletion = 3 * time.Second
	// maxCandidates is how many names are offered.
	maxCandidates = 1000
)

// completeCommand is what the scripts of completion ask.
func completeCommand() *cli.Command {
	return &cli.Command{
		Name:            "complete",
		Hidden:          true,
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			words := c.Args().Slice()
			if len(words) > 0 && words[0] == "--" {
				words = words[1:]
			}
			if len(words) == 0 {
				words = []string{""}
			}
			ctx, cancel := context.WithTimeout(c.Context, answerCompletion)
			defer cancel()
			p := &completer{app: c.App, ctx: ctx, before: words[:len(words)-1], word: words[len(words)-1]}
			p.complete()
			for _, line := range p.found {
				fmt.Fprintln(c.App.Writer, line)
			}
			return nil
		},
	}
}

// completer collects what a word may be.
type completer struct {
	app    *cli.App
	ctx    context.Context
	before []string // the words before it
	word   string
	found  []string
}

func (p *completer) offer(value, about string) {
	if strings.HasPrefix(value, p.word) && len(p.found) < maxCandidates {
		p.found = append(p.found, strings.TrimSuffix(value+"\t"+about, "\t"))
	}
}

func (p *completer) complete() {
	if len(p.before) == 0 {
		p.commands()
		return
	}
	command := p.app.Command(p.before[0])
	if command == nil {
		return
	}
	last := p.before[len(p.before)-1]
	switch {
	case len(p.before) > 1 && strings.HasPrefix(last, "-") && wantsValue(command, last):
		p.value(strings.TrimLeft(last, "-"))
	case strings.HasPrefix(p.word, "-"):
		p.flags(command)
	default:
		p.arguments(command)
	}
}

func (p *completer) commands() {
	for _, c := range p.app.Commands {
		if !c.Hidden {
			p.offer(c.Name, c.Usage)
		}
	}
}

func (p *completer) flags(c *cli.Command) {
	for _, f := range c.Flags {
		usage := ""
		if d, ok := f.(cli.DocGenerationFlag); ok {
			usage, _ = withoutQuotes(d.GetUsage())
		}
		p.offer("--"+f.Names()[0], usage)
	}
}

// value completes the value of a flag.
func (p *completer) value(name string) {
	values := map[string][]string{
		"sort": {"name", "size", "age", "local"}, "format": {"table", "text", "json"}, "write": {"through", "back"},
		"compression": {"uncompressed", "gzip", "estargz", "zstd"}, "log-level": {"debug", "info", "warn", "error"},
		"log-format": {"text", "json"}, "retry-mode": {"standard", "adaptive"},
	}
	switch {
	case values[name] != nil:
		for _, v := range values[name] {
			p.offer(v, "")
		}
	case slices.Contains([]string{"layout", "cache-dir", "embedded", "data"}, name):
		p.folders()
		p.mounts()
	case slices.Contains([]string{"from-build", "log-file", "ca-bundle"}, name):
		p.files()
	}
}

// arguments completes by what the usage says: NAME, MOUNTPOINT, DIR, COMMAND.
func (p *completer) arguments(c *cli.Command) {
	switch usage := c.ArgsUsage; {
	case strings.HasPrefix(usage, "DIR"):
		p.folders()
		if c.Name == "pull" {
			p.names(c)
		}
	case strings.Contains(usage, "MOUNTPOINT"):
		p.mounts()
		p.folders()
	case strings.Contains(usage, "COMMAND"):
		p.commands()
	case strings.Contains(usage, "bash|"):
		for shell := range strings.SplitSeq(usage, "|") {
			p.offer(shell, "")
		}
	case strings.Contains(usage, "NAME"), strings.Contains(usage, "PATTERN"), strings.Contains(usage, "OLD"):
		p.names(c)
	}
}

// names offers the names of the cache that the words before say.
func (p *completer) names(command *cli.Command) {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, name := range []string{"layout", "s3", "cache-dir"} {
		set.String(name, "", "")
		for i, w := range p.before[1:] {
			value, joined := strings.CutPrefix(w, "--"+name+"=")
			if w == "--"+name && i+2 < len(p.before) {
				value, joined = p.before[i+2], true
			}
			if joined {
				_ = set.Set(name, value) // a string takes anything
			}
		}
	}
	c := cli.NewContext(&cli.App{Writer: io.Discard, ErrWriter: io.Discard}, set, nil)
	c.Context, c.Command = p.ctx, command
	src, err := openSource(c)
	if err != nil {
		return
	}
	for n, err := range src.Names(p.ctx) {
		if err != nil || len(p.found) >= maxCandidates {
			break
		}
		p.offer(n.Name, ageText(n.Updated))
	}
	slices.Sort(p.found)
}

func (p *completer) mounts() {
	clients, err := daemon.FindAll()
	if err != nil {
		return
	}
	statuses, _ := ask(p.ctx, clients) // of those that answer
	for _, s := range statuses {
		p.offer(s.Mountpoint, "mounted "+s.Bucket.URL)
	}
}

func (p *completer) folders() { p.paths(true) }
func (p *completer) files()   { p.paths(false) }

func (p *completer) paths(foldersOnly bool) {
	found, err := filepath.Glob(p.word + "*")
	if err != nil {
		return
	}
	for _, path := range found {
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.IsDir():
			p.offer(path+"/", "")
		case !foldersOnly:
			p.offer(path, "")
		}
	}
}
