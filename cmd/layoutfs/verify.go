package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/source"
	"github.com/layoutfs/layoutfs/inspect/verify"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:     "verify",
		Category: groupLook,
		Usage:    "check digests, completeness and media types",
		Description: "Reads every blob, several at a time, and looks whether it is what its digest\n" +
			"says; whether all is there that names reach; whether media types are those of\n" +
			"the bytes. Of a mount that is done on local disk and in the bucket. A run that\n" +
			"was broken off is gone on with for a day. The exit status is 1 if anything is\n" +
			"wrong and not repaired.\n\n" +
			"   layoutfs verify\n" +
			"   layoutfs verify --quick --s3 region=eu-west-1,bucket=ci-cache\n" +
			"   layoutfs verify --repair --s3 region=eu-west-1,bucket=ci-cache \\\n" +
			"      --cache-dir DIR\n\n" +
			"--repair uploads again what local disk has (of the mount, or of --cache-dir),\n" +
			"deletes damaged blobs of the bucket that it has not, so that the next export\n" +
			"writes them, and drops damaged local copies.\n\n" +
			"--format json prints one object a line: problems, and at the end for each place\n" +
			"what was found." + whereHelp,
		CustomHelpTemplate: groupedHelp,
		Flags: whereFlags(formatFlag("text"),
			&cli.BoolFlag{Name: "quick", Usage: "do not read blobs: look whether they are there, and how large"},
			&cli.BoolFlag{Name: "repair", Usage: "repair what can be repaired"},
			&cli.BoolFlag{Name: "restart", Usage: "do not go on with a run that was broken off"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			if _, err := nameArgs(c, 0, 0, "no arguments"); err != nil {
				return err
			}
			if format := c.String("format"); format != "text" && format != "json" {
				return usagef("--format: %q must be text or json", format)
			}
			ctx, cancel := interruptible(ctx)
			defer cancel()
			places, err := verifyPlaces(ctx, c)
			if err != nil {
				return err
			}
			return verifyAll(ctx, c, places)
		},
	}
}

// verifyPlaces are the places to verify, with what can be done to repair them.
func verifyPlaces(ctx context.Context, c *cli.Command) ([]verify.Options, error) {
	s3, dir := c.String("s3"), c.String("cache-dir")
	if s3 != "" && dir != "" && c.String("layout") == "" {
		return bucketAndDisk(ctx, s3, dir)
	}
	w, err := openWhere(ctx, c)
	if err != nil {
		return nil, err
	}
	switch {
	case w.mount != nil:
		return mountPlaces(ctx, w)
	case w.bucket != nil:
		return []verify.Options{{Where: "bucket", Source: w.source, In: inspect.Bucket, Fixer: &verify.Fixer{Delete: w.bucket.DeleteBlob}}}, nil
	case w.dir != "":
		return []verify.Options{diskPlace(w.source, w.dir)}, nil
	}
	return []verify.Options{{Where: "folder", Source: w.source, In: inspect.Folder, Fixer: &verify.Fixer{}}}, nil
}

func bucketAndDisk(ctx context.Context, s3, dir string) ([]verify.Options, error) {
	client, err := openBucket(ctx, s3)
	if err != nil {
		return nil, err
	}
	local, err := source.OpenCacheDir(ctx, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	up := &verify.Fixer{Upload: verify.UploadFrom(local, client), Delete: client.DeleteBlob}
	return []verify.Options{
		diskPlace(local, dir),
		{Where: "bucket", Source: source.NewBucket(client), In: inspect.Bucket, Fixer: up},
	}, nil
}

func mountPlaces(ctx context.Context, w *where) ([]verify.Options, error) {
	status, err := w.mount.Status(ctx)
	if err != nil {
		return nil, err
	}
	local, err := source.OpenCacheDir(ctx, status.Cache.Dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	places := []verify.Options{{
		Where: "disk", Source: local, In: inspect.Warm | inspect.Staged, Partial: true, Fixer: &verify.Fixer{Drop: w.mount.DropLocal},
	}}
	if status.Mode.Offline {
		return places, nil
	}
	b := w.mount.Bucket()
	return append(places, verify.Options{
		Where: "bucket", Source: source.NewBucket(b), In: inspect.Bucket, Fixer: &verify.Fixer{Upload: b.UploadLocal, Delete: b.DeleteBlob},
	}), nil
}

func diskPlace(src inspect.Source, dir string) verify.Options {
	d := verify.DropFrom(dir)
	return verify.Options{
		Where: "disk", Source: src, In: inspect.Warm | inspect.Staged, Partial: true, Fixer: &verify.Fixer{Drop: d.Drop, Close: d.Close},
	}
}

// verifyAll verifies place by place.
func verifyAll(ctx context.Context, c *cli.Command, places []verify.Options) error {
	p := &verifyPrinter{c: c, paint: painterFor(c.Writer)}
	left := 0
	for _, o := range places {
		report, err := p.verify(ctx, o)
		if err != nil {
			return err
		}
		left += report.Problems - report.Repaired
	}
	if left > 0 {
		return errTold
	}
	return nil
}

type verifyPrinter struct {
	c     *cli.Command
	paint painter
}

func (p *verifyPrinter) verify(ctx context.Context, o verify.Options) (report verify.Report, err error) {
	if !p.c.Bool("quick") {
		if o.State, err = p.state(o.Where); err != nil {
			return report, err
		}
		defer func() { err = errors.Join(err, o.State.Close()) }()
	}
	m := newMeter(ctx, p.c, "verifying "+o.Where, 0)
	defer m.stop()
	o.Quick = p.c.Bool("quick")
	o.Listed = func(_ int, b int64) { m.whole.Add(b) }
	o.Read = m.add
	o.Problem = p.problem
	o.Fixer.Failed = func(pr verify.Problem, err error) {
		fmt.Fprintf(p.c.ErrWriter, "layoutfs: not repaired: %s %s: %v\n", pr.Where, pr.Digest, err)
	}
	if !p.c.Bool("repair") {
		o.Fixer = nil
	}
	report, err = verify.Run(ctx, o)
	if errors.Is(err, context.Canceled) {
		return report, errors.New("interrupted; the same command goes on where it was")
	}
	if err != nil {
		return report, err
	}
	m.stop()
	return report, p.report(report)
}

// state is that of the last run with these flags.
func (p *verifyPrinter) state(where string) (*verify.State, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	sum := sha256.Sum256([]byte(where + "\x00" + p.c.String("layout") + "\x00" + p.c.String("s3") + "\x00" + p.c.String("cache-dir")))
	s, err := verify.OpenState(filepath.Join(base, "layoutfs", "verify-"+hex.EncodeToString(sum[:8])), p.c.Bool("restart"))
	if err == nil && s.Verified() > 0 {
		fmt.Fprintf(p.c.ErrWriter, "layoutfs: %s: going on after %s that an earlier run has verified; --restart begins anew\n",
			where, english.Plural(s.Verified(), "blob", ""))
	}
	return s, err
}

func (p *verifyPrinter) problem(pr verify.Problem) {
	if p.c.String("format") == "json" {
		_ = json.NewEncoder(p.c.Writer).Encode(pr) // who reads it is gone if this fails
		return
	}
	what := pr.Digest.String()
	if pr.Name != "" {
		what = fmt.Sprintf("name %q", pr.Name) + ifAny(": blob ", pr.Digest.String())
	}
	color, done := red, ""
	if pr.Repair != "" {
		color, done = yellow, " ("+pr.Repair+")"
	}
	fmt.Fprintf(p.c.Writer, "%s: %s: %s: %s%s\n", pr.Where, p.paint(color, string(pr.Kind)), what, pr.Text, done)
}

func (p *verifyPrinter) report(r verify.Report) error {
	if p.c.String("format") == "json" {
		return json.NewEncoder(p.c.Writer).Encode(r)
	}
	return printReport(p.c.Writer, r, p.c.Bool("quick"))
}

func printReport(w io.Writer, r verify.Report, quick bool) error {
	verb := "verified"
	if quick {
		verb = "looked at"
	}
	found := "nothing is wrong"
	if r.Problems > 0 {
		found = english.Plural(r.Problems, "problem", "")
		if r.Repaired > 0 {
			found += fmt.Sprintf(", %d repaired", r.Repaired)
		}
	}
	_, err := fmt.Fprintf(w, "%s: %s and %s in %s %s, of which %s reached by no name: %s\n", r.Where,
		english.Plural(r.Names, "name", ""), english.Plural(r.Blobs, "blob", ""), sizeText(r.Bytes), verb, isAre(r.Orphans), found)
	return err
}

func isAre(n int) string {
	if n == 1 {
		return "1 is"
	}
	return fmt.Sprintf("%d are", n)
}
