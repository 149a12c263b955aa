package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/source"
	"github.com/layoutfs/layoutfs/inspect/verify"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// whereHelp ends the description of commands that look at a cache.
const whereHelp = "\n\nA cache is looked at in the only running mount, or where --layout, --s3 or\n" +
	"--cache-dir says; if nothing is mounted, in the bucket of $LAYOUTFS_S3."

// whereFlags say where a cache is looked at. They do not read the environment as those of mount do: what is
// set for the mount must not keep a command from looking at it.
func whereFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.StringFlag{Name: "layout", Category: groupWhere, Usage: "a mountpoint, or any `DIR` with an OCI image layout"},
		&cli.StringFlag{Name: "s3", Category: groupWhere, Usage: "a bucket, by the `CSV` of --cache-to type=s3,..."},
		&cli.StringFlag{Name: "cache-dir", Category: groupWhere, Usage: "a mount's local disk, `DIR`, without any network"},
	)
}

// The groups of flags in a help.
const (
	groupOptions = "OPTIONS:"
	groupWhere   = "WHERE:"
	groupOutput  = "OUTPUT:"
)

// where is a place with a cache, and what can be done there besides looking.
type where struct {
	source inspect.Source
	mount  *daemon.Client // a running mount, or nil
	at     string         // its mountpoint
	bucket *bucket.Client // a bucket without a mount, or nil
	dir    string         // a cache directory, or empty
}

// drop drops local copies, of a mount or of a cache directory that no daemon owns.
func (w *where) drop() (drop func(context.Context, digest.Digest) error, closeIt func() error) {
	if w.mount != nil {
		return w.mount.DropLocal, func() error { return nil }
	}
	d := verify.DropFrom(w.dir)
	return d.Drop, d.Close
}

// openSource opens what the flags name, to look at it.
func openSource(ctx context.Context, c *cli.Command) (inspect.Source, error) {
	w, err := openWhere(ctx, c)
	if err != nil {
		return nil, err
	}
	return w.source, nil
}

// openWhere opens what the flags name.
func openWhere(ctx context.Context, c *cli.Command) (*where, error) {
	layout, s3, dir := c.String("layout"), c.String("s3"), c.String("cache-dir")
	if n := len(slices.DeleteFunc([]string{layout, s3, dir}, func(s string) bool { return s == "" })); n > 1 {
		return nil, usagef("--layout, --s3 and --cache-dir exclude each other")
	}
	switch {
	case layout != "":
		return openLayout(layout)
	case s3 != "":
		return whereBucket(ctx, s3)
	case dir != "":
		return openCacheDir(ctx, c, dir)
	}
	return openDefault(ctx)
}

func whereBucket(ctx context.Context, csv string) (*where, error) {
	client, err := openBucket(ctx, csv)
	if err != nil {
		return nil, err
	}
	return &where{source: source.NewBucket(client), bucket: client}, nil
}

func whereMount(at string, client *daemon.Client) *where {
	return &where{source: source.NewMount(at, client), mount: client, at: at}
}

// openLayout opens a mount, if that is what the folder is, or a layout.
func openLayout(dir string) (*where, error) {
	at, err := daemon.Resolve(dir)
	if err != nil {
		return nil, usageError{err}
	}
	if client, err := daemon.Find(at); err == nil {
		return whereMount(at, client), nil
	}
	l, err := source.OpenLayout(at)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("%s is neither a mountpoint of this user nor a folder with an OCI image layout: it has no index.json", dir)
	}
	if err != nil {
		return nil, err
	}
	return &where{source: l}, nil
}

// openBucket opens a bucket and makes sure that it answers.
func openBucket(ctx context.Context, csv string) (*bucket.Client, error) {
	config, err := daemon.ParseBucket(csv, nil, false)
	if err != nil {
		return nil, usagef("--s3: %w", err)
	}
	client, err := bucket.Open(ctx, config, bucket.Options{})
	if err != nil {
		return nil, err
	}
	return client, client.Check(ctx)
}

func openCacheDir(ctx context.Context, c *cli.Command, dir string) (*where, error) {
	src, err := source.OpenCacheDir(ctx, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if src.Notice() != "" {
		fmt.Fprintln(c.ErrWriter, "layoutfs: "+src.Notice())
	}
	return &where{source: src, dir: dir}, nil
}

// openDefault opens the only mount, or else the bucket of the environment.
func openDefault(ctx context.Context) (*where, error) {
	clients, err := daemon.FindAll()
	if err != nil {
		return nil, err
	}
	statuses, err := ask(ctx, clients)
	if err != nil {
		return nil, err
	}
	csv := os.Getenv(envName("s3"))
	switch {
	case len(statuses) == 1:
		return whereMount(statuses[0].Mountpoint, clients[0]), nil
	case len(statuses) > 1:
		var all []string
		for _, s := range statuses {
			all = append(all, s.Mountpoint)
		}
		slices.Sort(all)
		return nil, usagef("which mount? Give --layout with one of %s", strings.Join(all, ", "))
	case csv != "":
		return whereBucket(ctx, csv)
	}
	return nil, usagef("where is the cache? Nothing is mounted by this user: give --layout DIR, --s3 CSV or --cache-dir DIR")
}

// nameArgs are the arguments of a command that takes from low to high of them, the first a NAME.
func nameArgs(c *cli.Command, low, high int, what string) ([]string, error) {
	args := c.Args().Slice()
	switch {
	case len(args) < low:
		return nil, usagef("%s takes %s; `layoutfs ls` lists the names", c.Name, what)
	case len(args) > high:
		return nil, usagef("%s takes %s, not %q", c.Name, what, strings.Join(args, " "))
	}
	return args, nil
}

// readCache reads a name, and says what there is if that one is not.
func readCache(ctx context.Context, c *cli.Command, src inspect.Source, name string) (*inspect.Cache, error) {
	cache, err := inspect.Read(ctx, src, name, c.String("platform"))
	if !errors.Is(err, iofs.ErrNotExist) {
		return cache, err
	}
	if _, failed := src.Name(ctx, name); failed == nil {
		return nil, err // the name is there, and something of it is not
	}
	return nil, noSuchName(ctx, src, name)
}

// noSuchName lists the names, if there are not too many.
func noSuchName(ctx context.Context, src inspect.Source, name string) error {
	const some = 8
	var names []string
	for n, err := range src.Names(ctx) {
		if err != nil {
			return err
		}
		if names = append(names, n.Name); len(names) > some {
			return fmt.Errorf("there is no name %q; `layoutfs ls` lists those that there are", name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return fmt.Errorf("there is no name %q: nothing has been exported there yet", name)
	}
	return fmt.Errorf("there is no name %q; there are %s", name, strings.Join(names, ", "))
}

func platformFlag() cli.Flag {
	return &cli.StringFlag{Name: "platform", Usage: "of an image for several platforms the one for `OS/ARCH`"}
}
