package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	iofs "io/fs"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/layer"
)

func filesCommand() *cli.Command {
	return &cli.Command{
		Name:      "files",
		Category:  groupLook,
		Usage:     "list the files in layers",
		ArgsUsage: "NAME [LAYER]",
		Description: "Lists the file system that a cache results in: its layers on top of one\n" +
			"another, without what later ones delete. LAYER is the beginning of a digest\n" +
			"as `tree` shows them, of a layer or of a record: then it is the file system\n" +
			"up to there, or with --own what that layer alone has; what it deletes has a\n" +
			"D in front. Of estargz and zstd:chunked layers only the table of contents\n" +
			"is read.\n\n" +
			"   layoutfs files main\n" +
			"   layoutfs files --own main 5fd61c7dc9a2\n" +
			"   layoutfs files --layout ./cache latest" + fmt.Sprintf(formatHelp, "Path") + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags: whereFlags(formatFlag("table"), quietFlag("paths"), platformFlag(),
			&cli.BoolFlag{Name: "own", Usage: "list what the layer alone has"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			args, err := nameArgs(c, 1, 2, "a NAME and perhaps a LAYER")
			if err != nil {
				return err
			}
			if err := checkFormat[fileLine](c); err != nil {
				return err
			}
			src, err := openSource(ctx, c)
			if err != nil {
				return err
			}
			m := newMeter(ctx, c, "reading layers", 0)
			defer m.stop()
			cache, err := readCache(ctx, c, m.source(src), args[0])
			if err != nil {
				return err
			}
			return listFiles(ctx, c, m, cache, append(args, "")[1])
		},
	}
}

// fileLine is a file in output. The JSON names are stable.
type fileLine struct {
	Path    string        `json:"path"`
	Mode    string        `json:"mode"` // as ls -l shows it
	UID     int           `json:"uid"`
	GID     int           `json:"gid"`
	Size    int64         `json:"size"` // bytes
	ModTime time.Time     `json:"mtime,omitzero"`
	Link    string        `json:"link,omitempty"`
	Hard    bool          `json:"hard_link,omitempty"`
	Deletes string        `json:"deletes,omitempty"` // path, or contents of a folder; of a mark
	Layer   digest.Digest `json:"layer"`             // that it is in
}

func lineOf(e layer.Entry, stack []ocispec.Descriptor, own bool) fileLine {
	l := fileLine{Path: e.Path, UID: e.UID, GID: e.GID, Size: e.Size, ModTime: e.ModTime, Link: e.Link, Hard: e.Hard, Mode: modeLine(e)}
	l.Layer = stack[e.Layer].Digest
	if own {
		l.Layer = stack[len(stack)-1].Digest
	}
	switch e.Hides {
	case layer.Itself:
		l.Deletes = "path"
	case layer.Contents:
		l.Deletes = "contents"
	}
	return l
}

// modeLine is the mode as ls -l has it.
func modeLine(e layer.Entry) string {
	if e.Hides != layer.Nothing {
		return "D---------"
	}
	text := e.Mode.String()
	switch {
	case e.Mode&iofs.ModeSymlink != 0:
		return "l" + text[1:]
	case e.Hard:
		return "h" + text[1:]
	}
	return text
}

// listFiles prints files as they come, with columns that are wide enough for most.
func listFiles(ctx context.Context, c *cli.Command, m *meter, cache *inspect.Cache, which string) error {
	stack, err := cache.Stack(which)
	if err != nil {
		return err
	}
	if len(stack) == 0 {
		return nil
	}
	own := c.Bool("own")
	enc := json.NewEncoder(c.Writer)
	for e, err := range cache.Files(ctx, stack, own) {
		if err != nil {
			return err
		}
		m.stop()
		line := lineOf(e, stack, own)
		switch {
		case c.Bool("quiet"):
			fmt.Fprintln(c.Writer, line.Path)
		case c.String("format") == "table":
			printFile(c.Writer, line)
		case c.String("format") == "json":
			err = enc.Encode(line)
		default:
			err = lines(c, []fileLine{line}, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func printFile(w io.Writer, l fileLine) {
	path := l.Path
	switch {
	case l.Hard:
		path += " link to " + l.Link
	case l.Link != "":
		path += " -> " + l.Link
	}
	if l.Deletes != "" {
		fmt.Fprintf(w, "%s %9s %12s %16s %s\n", l.Mode, "", "", "", path+map[string]string{"contents": "/*"}[l.Deletes])
		return
	}
	fmt.Fprintf(w, "%s %9s %12d %16s %s\n", l.Mode, fmt.Sprintf("%d/%d", l.UID, l.GID), l.Size, l.ModTime.UTC().Format("2006-01-02 15:04"), path)
}
