package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

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
		Action: func(ctx context.Context, c *cli.Command) error {
			words := c.Args().Slice()
			if len(words) > 0 && words[0] == "--" {
				words = words[1:]
			}
			if len(words) == 0 {
				words = []string{""}
			}
			ctx, cancel := context.WithTimeout(ctx, answerCompletion)
			defer cancel()
			p := &completer{app: newApp(), before: words[:len(words)-1], word: words[len(words)-1]}
			p.complete(ctx)
			for _, line := range p.found {
				fmt.Fprintln(c.Writer, line)
			}
			return nil
		},
	}
}

// completer collects what a word may be.
type completer struct {
	app    *cli.Command
	before []string // the words before it
	word   string
	found  []string
}

func (p *completer) offer(value, about string) {
	if strings.HasPrefix(value, p.word) && len(p.found) < maxCandidates {
		p.found = append(p.found, strings.TrimSuffix(value+"\t"+about, "\t"))
	}
}

func (p *completer) complete(ctx context.Context) {
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
	case len(p.before) > 1 && strings.HasPrefix(last, "-") && takesValue(command, last):
		p.value(ctx, strings.TrimLeft(last, "-"))
	case strings.HasPrefix(p.word, "-"):
		p.flags(command)
	default:
		p.arguments(ctx, command)
	}
}

// takesValue says whether the word after a flag is its value.
func takesValue(command *cli.Command, flag string) bool {
	for _, f := range command.Flags {
		if d, ok := f.(cli.DocGenerationFlag); ok && slices.Contains(f.Names(), strings.TrimLeft(flag, "-")) {
			return d.TakesValue()
		}
	}
	return false // unknown, or with its value after "="
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
func (p *completer) value(ctx context.Context, name string) {
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
		p.mounts(ctx)
	case slices.Contains([]string{"from-build", "log-file", "ca-bundle"}, name):
		p.files()
	}
}

// arguments completes by what the usage says: NAME, MOUNTPOINT, DIR, COMMAND.
func (p *completer) arguments(ctx context.Context, c *cli.Command) {
	switch usage := c.ArgsUsage; {
	case strings.HasPrefix(usage, "DIR"):
		p.folders()
		if c.Name == "pull" {
			p.names(ctx, c)
		}
	case strings.Contains(usage, "MOUNTPOINT"):
		p.mounts(ctx)
		p.folders()
	case strings.Contains(usage, "COMMAND"):
		p.commands()
	case strings.Contains(usage, "bash|"):
		for shell := range strings.SplitSeq(usage, "|") {
			p.offer(shell, "")
		}
	case strings.Contains(usage, "NAME"), strings.Contains(usage, "PATTERN"), strings.Contains(usage, "OLD"):
		p.names(ctx, c)
	}
}

// names offers the names of the cache that the words before say.
func (p *completer) names(ctx context.Context, command *cli.Command) {
	for _, name := range []string{"layout", "s3", "cache-dir"} {
		for i, w := range p.before[1:] {
			value, joined := strings.CutPrefix(w, "--"+name+"=")
			if w == "--"+name && i+2 < len(p.before) {
				value, joined = p.before[i+2], true
			}
			if joined {
				_ = command.Set(name, value) // if it has such a flag
			}
		}
	}
	command.ErrWriter = io.Discard
	src, err := openSource(ctx, command)
	if err != nil {
		return
	}
	for n, err := range src.Names(ctx) {
		if err != nil || len(p.found) >= maxCandidates {
			break
		}
		p.offer(n.Name, ageText(n.Updated))
	}
	slices.Sort(p.found)
}

func (p *completer) mounts(ctx context.Context) {
	clients, err := daemon.FindAll()
	if err != nil {
		return
	}
	statuses, _ := ask(ctx, clients) // of those that answer
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
