package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/doctor"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "say whether machine, disk and bucket are fit for a mount",
		Description: "Tries what a mount does, and says what to do where it fails: it mounts a file\n" +
			"system in a temporary folder, writes to the disk, and makes each kind of\n" +
			"request. It removes what it made. Without a bucket it examines machine and\n" +
			"disk alone. Exit status 1 if a mount would not work.\n\n" +
			"   layoutfs doctor --s3 region=eu-west-1,bucket=ci-cache",
		Flags: append(bucketFlags(),
			text(groupDisk, "cache-dir", "", "examine `DIR` (default: where a mount would keep local copies)"),
			text(groupDisk, "min-free", "1GiB", "leave at least `SIZE` of the file system free"),
			toggle(groupMount, "read-only", "for a mount that changes nothing"),
			toggle(groupMount, "allow-other", "for a mount that lets other users in"),
			&cli.StringFlag{Name: "format", Value: "text", Category: groupOutput, Usage: "`FORMAT`: text, or json (one object a line)"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("doctor takes no arguments: the bucket is given as --s3 CSV")
			}
			show, err := findingPrinter(c.Writer, c.String("format"))
			if err != nil {
				return err
			}
			o, err := doctorOptions(c)
			if err != nil {
				return usageError{err}
			}
			return examine(ctx, c, o, show)
		},
	}
}

// doctorOptions are those of the mount that would be made.
func doctorOptions(c *cli.Command) (doctor.Options, error) {
	p := &parser{c: c}
	o := doctor.Options{
		CacheDir: p.path("cache-dir"), AllowOther: c.Bool("allow-other"), ReadOnly: c.Bool("read-only"),
		Log: slog.New(slog.NewTextHandler(c.ErrWriter, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	o.MinFree = p.size("min-free").On
	if err := p.err(); err != nil {
		return o, err
	}
	config := daemon.Config{}
	s3, flags := c.String("s3"), params(c)
	if s3 != "" || len(flags) > 0 || os.Getenv("AWS_BUCKET") != "" {
		b, err := daemon.ParseBucket(s3, flags, false)
		if err != nil {
			return o, err
		}
		config.Bucket, o.Bucket = b, &b
	}
	if o.CacheDir == "" {
		dir, err := config.DefaultCacheDir()
		if err != nil {
			return o, err
		}
		if o.CacheDir = dir; o.Bucket == nil {
			o.CacheDir = filepath.Dir(dir)
		}
	}
	return o, nil
}

func examine(ctx context.Context, c *cli.Command, o doctor.Options, show func(doctor.Finding) error) error {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	failed := false
	for f := range doctor.Examine(ctx, o) {
		failed = failed || f.Result == doctor.Fail
		if err := show(f); err != nil {
			return err
		}
	}
	if o.Bucket == nil && c.String("format") == "text" {
		fmt.Fprintln(c.Writer, "\nno bucket was examined: give --s3 region=REGION,bucket=NAME,...")
	}
	if failed {
		return errTold
	}
	return nil
}

func findingPrinter(w io.Writer, format string) (func(doctor.Finding) error, error) {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		return func(f doctor.Finding) error { return enc.Encode(f) }, nil
	case "text":
		paint := painterFor(w)
		return func(f doctor.Finding) error { return printFinding(w, paint, f) }, nil
	}
	return nil, usagef("--format %q must be text or json", format)
}

func printFinding(w io.Writer, paint painter, f doctor.Finding) error {
	color := map[doctor.Result]string{doctor.Warn: yellow, doctor.Fail: red}[f.Result]
	line := fmt.Sprintf("%s  %-10s  %s", paint(color, fmt.Sprintf("%-4s", f.Result)), f.Area, f.What)
	if f.Says != "" {
		line += ": " + f.Says
	}
	if f.Do != "" {
		line += "\n      -> " + f.Do
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
