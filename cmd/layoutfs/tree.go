package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/records"
)

func treeCommand() *cli.Command {
	return &cli.Command{
		Name:      "tree",
		Category:  groupLook,
		Usage:     "show how the records of a cache chain, and what each made",
		ArgsUsage: "NAME",
		Description: "Each record of a cache stands under the one that it builds on, with the\n" +
			"layer that it made. What a record is, is a guess from its shape: exec (a\n" +
			"RUN), copy (a COPY or ADD), step (anything else), source (an image, a\n" +
			"commit), content (of files), root (one of these two). Commands and paths are not in a cache, only\n" +
			"digests of them; `why` tells how to find out more. Of an image the layers\n" +
			"are shown.\n\n" +
			"   layoutfs tree main\n" +
			"   layoutfs tree --layout ./cache latest" + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags:              whereFlags(truncFlag(), platformFlag()),
		Action: func(ctx context.Context, c *cli.Command) error {
			args, err := nameArgs(c, 1, 1, "a NAME")
			if err != nil {
				return err
			}
			src, err := openSource(ctx, c)
			if err != nil {
				return err
			}
			cache, err := readCache(ctx, c, src, args[0])
			if err != nil {
				return err
			}
			t := &treePrinter{c: c, cache: cache, paint: painterFor(c.Writer)}
			return t.print(c.Writer)
		},
	}
}

type treePrinter struct {
	c     *cli.Command
	cache *inspect.Cache
	kinds []records.Kind
	under [][]int // the records that stand under each
	paint painter
	lines []string
}

func (t *treePrinter) print(w io.Writer) error {
	t.line("", fmt.Sprintf("%s  %s %s, %s in %s", t.paint(bold, t.cache.Name.Name), t.cache.Kind,
		shortDigest(t.c, t.cache.Name.Descriptor.Digest), english.Plural(len(t.cache.Layers), "layer", ""), sizeText(closureSize(t.cache))))
	if t.cache.Graph == nil {
		for i, d := range t.cache.Layers {
			t.line(branch(i == len(t.cache.Layers)-1), t.layerText(d))
		}
	} else {
		t.records()
	}
	_, err := fmt.Fprintln(w, strings.Join(t.lines, "\n"))
	return err
}

func (t *treePrinter) line(prefix, text string) {
	t.lines = append(t.lines, t.paint(dim, prefix)+strings.TrimRight(text, " "))
}

func branch(last bool) string {
	if last {
		return "└─ "
	}
	return "├─ "
}

func stem(last bool) string {
	if last {
		return "   "
	}
	return "│  "
}

func closureSize(c *inspect.Cache) (n int64) {
	for _, d := range c.Closure {
		n += d.Size
	}
	return n
}

func (t *treePrinter) layerText(d ocispec.Descriptor) string {
	return fmt.Sprintf("layer %s  %s  %s", shortDigest(t.c, d.Digest), sizeText(d.Size), d.MediaType)
}

// records prints the records under what they build on. Content and sources are told beside what takes them,
// unless they are all that it builds on.
func (t *treePrinter) records() {
	g := t.cache.Graph
	t.kinds, t.under = g.Kinds(), make([][]int, len(g.Records))
	var top []int
	for _, i := range g.Order() {
		if on, ok := t.on(i); ok {
			t.under[on] = append(t.under[on], i)
		} else if !g.Records[i].IsRoot() {
			top = append(top, i)
		}
	}
	for n, i := range top {
		t.record(i, "", n == len(top)-1)
	}
}

// on is the record that one builds on: the first operation among its inputs.
func (t *treePrinter) on(i int) (int, bool) {
	for _, any := range t.cache.Graph.Records[i].Inputs {
		for _, in := range any {
			if !t.cache.Graph.Records[in.Record].IsRoot() {
				return in.Record, true
			}
		}
	}
	return 0, false
}

func (t *treePrinter) record(i int, prefix string, last bool) {
	t.line(prefix+branch(last), t.recordText(i))
	for n, child := range t.under[i] {
		t.record(child, prefix+stem(last), n == len(t.under[i])-1)
	}
}

func (t *treePrinter) recordText(i int) string {
	g := t.cache.Graph
	r := g.Records[i]
	text := fmt.Sprintf("%-4s %s", t.kinds[i], shortDigest(t.c, r.Digest))
	if res, ok := r.Newest(); ok {
		blob := g.Layers[res.Top].Blob
		size := ""
		if at := slices.IndexFunc(t.cache.Layers, func(d ocispec.Descriptor) bool { return d.Digest == blob }); at >= 0 {
			size = sizeText(t.cache.Layers[at].Size)
		}
		text += fmt.Sprintf("  layer %s  %s  %s", shortDigest(t.c, blob), size, ageText(res.CreatedAt))
	} else {
		text += "  without a result"
	}
	if also := t.also(i); also != "" {
		text += "  " + t.paint(dim, also)
	}
	return text
}

// also tells the inputs besides the one under which a record stands.
func (t *treePrinter) also(i int) string {
	under, _ := t.on(i)
	var texts []string
	for n, any := range t.cache.Graph.Records[i].Inputs {
		if slices.ContainsFunc(any, func(in records.Input) bool { return in.Record == under && !t.cache.Graph.Records[under].IsRoot() }) {
			continue
		}
		in := any[0]
		texts = append(texts, fmt.Sprintf("input %d: %s %s", n, t.kinds[in.Record], shortDigest(t.c, t.cache.Graph.Records[in.Record].Digest)))
	}
	return strings.Join(texts, ", ")
}
