package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect/prune"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

func pruneCommand() *cli.Command {
	return &cli.Command{
		Name:     "prune",
		Category: groupChange,
		Usage:    "throw away what is not needed",
		Description: "Deletes the blobs of the bucket that no name reaches and that nobody has written\n" +
			"or touched for the grace period, and unfinished uploads as old. Names go by\n" +
			"--older-than, --keep-last and --keep-storage alone; --keep and pins keep them\n" +
			"from all three. It may run while builds export, on any machine: --grace must be\n" +
			"longer than the longest touch_refresh of all exporters and the longest export\n" +
			"together.\n\n" +
			"   layoutfs prune --dry-run\n" +
			"   layoutfs prune --older-than 30d --keep 'main;release/'\n" +
			"   layoutfs prune --keep-storage 500GB --keep-last 20\n" +
			"   layoutfs prune --local --keep-storage 50GB\n\n" +
			"Every night, from cron:\n\n" +
			"   17 3 * * *  layoutfs prune -q --s3 \"$CACHE\" --older-than 30d --keep main\n\n" +
			"A lifecycle rule of the bucket does the rest if nobody prunes: exporters renew\n" +
			"what they use once it is older than touch_refresh (24h), so it may expire what is\n" +
			"older than, say, 60 days under blobs/, and abort uploads after 7. It must be\n" +
			"longer than the age at which names go, or names lose blobs.\n\n" +
			"--local drops local copies instead, of what the bucket has: those that were not\n" +
			"used for --older-than, or for longest, down to --keep-storage; without either,\n" +
			"all.\n\n" +
			"--format json prints one object a line: what goes, and at the end the totals." + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags: whereFlags(
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would go, and delete nothing"},
			&cli.StringSliceFlag{Name: "keep", Usage: "keep names of these `PATTERNS`, with ; between; see `layoutfs ls`"},
			&cli.StringFlag{Name: "older-than", Usage: "names that were written longer ago than `TIME` go, such as 30d or 12h"},
			&cli.IntFlag{Name: "keep-last", Usage: "keep the newest `N` names; without --older-than all others go", DefaultText: "none for that"},
			&cli.StringFlag{Name: "keep-storage", Usage: "the oldest names go until the rest takes `SIZE`, such as 500GB"},
			&cli.StringFlag{Name: "grace", Value: "48h", Usage: "a blob must have been left alone for `TIME`"},
			&cli.BoolFlag{Name: "local", Usage: "drop local copies"},
			formatFlag("text"), truncFlag(), quietFlag("totals")),
		Action: func(ctx context.Context, c *cli.Command) error {
			if _, err := nameArgs(c, 0, 0, "no arguments"); err != nil {
				return err
			}
			o, err := pruneOptions(c)
			if err != nil {
				return err
			}
			w, err := openWhere(ctx, c)
			if err != nil {
				return err
			}
			ctx, cancel := interruptible(ctx)
			defer cancel()
			p := &prunePrinter{c: c}
			if c.Bool("local") {
				return p.local(ctx, w, o)
			}
			return p.bucket(ctx, w, o)
		},
	}
}

// pruneOptions reads the flags, and reports everything that is wrong with them.
func pruneOptions(c *cli.Command) (prune.Options, error) {
	var errs []error
	long := func(flag string) time.Duration {
		d, err := longTime(c.String(flag))
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", flag, err))
		}
		return d
	}
	o := prune.Options{OlderThan: long("older-than"), Grace: long("grace"), KeepLast: c.Int("keep-last"), DryRun: c.Bool("dry-run")}
	for _, patterns := range c.StringSlice("keep") {
		for p := range strings.SplitSeq(patterns, ";") {
			if p != "" {
				o.Keep = append(o.Keep, p)
			}
		}
	}
	if size := c.String("keep-storage"); size != "" {
		n, err := humanize.ParseBytes(size)
		if err != nil || n == 0 || n > math.MaxInt64 {
			errs = append(errs, fmt.Errorf("--keep-storage: %q is no size: write it as 500GB or 20GiB", size))
		}
		o.KeepStorage = int64(n)
	}
	if format := c.String("format"); format != "text" && format != "json" {
		errs = append(errs, fmt.Errorf("--format: %q must be text or json", format))
	}
	if c.Bool("local") && (len(o.Keep) > 0 || o.KeepLast > 0 || c.IsSet("grace")) {
		errs = append(errs, errors.New("--local goes with --older-than, --keep-storage and --dry-run alone"))
	}
	if err := errors.Join(append(errs, o.Validate())...); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

// longTime reads a time that may be in days or weeks; empty is 0.
func longTime(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			if n, err := strconv.ParseFloat(number, 64); err == nil && n >= 0 && n*float64(unit) < math.MaxInt64 {
				return time.Duration(n * float64(unit)), nil
			}
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no time: write it as 30d, 12h or 90m", s)
	}
	return d, nil
}

type prunePrinter struct{ c *cli.Command }

// bucket prunes a bucket: that of a mount, or one without a mount.
func (p *prunePrinter) bucket(ctx context.Context, w *where, o prune.Options) error {
	var b prune.Bucket
	refresh := bucket.Default().TouchRefresh
	switch {
	case w.mount != nil:
		b = w.mount.Bucket()
	case w.bucket != nil:
		b, refresh = w.bucket, w.bucket.Config().TouchRefresh
	default:
		return usagef("prune changes a bucket: give --s3 CSV, or --layout with a mountpoint; --local drops local copies")
	}
	if o.Grace <= refresh {
		return usagef("--grace %s: must be longer than touch_refresh, %s, and an export together: exporters do not renew what is younger", o.Grace, refresh)
	}
	m := newMeter(ctx, p.c, "pruning", 0)
	defer m.stop()
	o.Scanned = func(int) { m.item() }
	o.Removed = p.removed
	o.Log = func(text string) { fmt.Fprintln(p.c.ErrWriter, "layoutfs: "+text) }
	report, err := prune.Run(ctx, b, o)
	m.stop()
	return errors.Join(err, p.report(report, err))
}

// local drops local copies.
func (p *prunePrinter) local(ctx context.Context, w *where, o prune.Options) error {
	lo := prune.LocalOptions{OlderThan: o.OlderThan, KeepStorage: o.KeepStorage, DryRun: o.DryRun, Removed: p.removed}
	disk, ok := w.source.(prune.Disk)
	if !ok {
		return usagef("--local is for local disk: give --layout with a mountpoint, or --cache-dir DIR")
	}
	drop, closeIt := w.drop()
	lo.Drop = drop
	report, err := prune.RunLocal(ctx, disk, lo)
	err = errors.Join(err, closeIt())
	return errors.Join(err, p.report(report, err))
}

func (p *prunePrinter) removed(r prune.Removal) {
	switch {
	case p.c.Bool("quiet"):
	case p.c.String("format") == "json":
		_ = json.NewEncoder(p.c.Writer).Encode(r) // who reads it is gone if this fails
	case r.Kind == prune.Name:
		fmt.Fprintf(p.c.Writer, "name   %s  %s alone, %s\n", r.Name, sizeText(r.Size), r.Reason)
	default:
		fmt.Fprintf(p.c.Writer, "%-6s %s  %s  %s\n", r.Kind, shortDigest(p.c, r.Digest), sizeText(r.Size), ageText(r.Time))
	}
}

// report prints the totals; after an error, only what was done before it.
func (p *prunePrinter) report(r prune.Report, failed error) error {
	if failed != nil && r.Blobs == 0 && r.Names == 0 && r.Uploads == 0 {
		return nil
	}
	if p.c.String("format") == "json" {
		return json.NewEncoder(p.c.Writer).Encode(r)
	}
	return printPruned(p.c.Writer, r)
}

func printPruned(w io.Writer, r prune.Report) error {
	verb := "Deleted"
	if r.DryRun {
		verb = "Would delete"
	}
	parts := []string{fmt.Sprintf("%s in %s", sizeText(r.Bytes), english.Plural(r.Blobs, "blob", ""))}
	if r.Names > 0 {
		parts = append(parts, english.Plural(r.Names, "name", ""))
	}
	if r.Uploads > 0 {
		parts = append(parts, english.Plural(r.Uploads, "unfinished upload", ""))
	}
	kept := fmt.Sprintf("%s in %s", sizeText(r.KeptBytes), english.Plural(r.KeptBlobs, "blob", ""))
	if r.KeptNames > 0 {
		kept += " of " + english.Plural(r.KeptNames, "name", "")
	}
	if r.TooYoung > 0 {
		kept += fmt.Sprintf(", of which %s reached by none, and within the grace period", isAre(r.TooYoung))
	}
	_, err := fmt.Fprintf(w, "%s %s; %s stay.\n", verb, english.WordSeries(parts, "and"), kept)
	return err
}
