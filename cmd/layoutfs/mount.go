package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
)

func mountCommand() *cli.Command {
	return &cli.Command{
		Name:      "mount",
		Usage:     "mount a bucket's caches as OCI image layouts",
		ArgsUsage: "MOUNTPOINT",
		Description: "The bucket is given by the CSV of BuildKit's type=s3, by single flags, which\n" +
			"complete and override it, or by both. Credentials that are not given come\n" +
			"from where the AWS SDK finds them: environment, profile, SSO, web identity,\n" +
			"instance role.\n\n" +
			"   layoutfs mount --s3 region=eu-west-1,bucket=ci-cache -d /mnt/cache\n" +
			"   layoutfs mount --embedded ./bucket -d /mnt/cache    (needs no bucket)\n\n" +
			"Each flag but -d can also be set in the environment: --cache-size as\n" +
			"$LAYOUTFS_CACHE_SIZE, and so on.",
		CustomHelpTemplate: groupedHelp,
		Flags:              mountFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			config, err := mountConfig(c)
			if err != nil {
				return usageError{err}
			}
			if !c.Bool("detach") {
				return daemon.Run(ctx, config, func(r daemon.Ready) { printReady(c.Writer, r) })
			}
			ready, err := daemon.Detach(ctx, config)
			if err != nil {
				return err
			}
			printReady(c.Writer, ready)
			return nil
		},
	}
}

// daemonCommand is what mount -d runs in the background.
func daemonCommand() *cli.Command {
	return &cli.Command{
		Name:   daemon.DetachedCommand,
		Hidden: true,
		Action: func(ctx context.Context, _ *cli.Command) error {
			err := daemon.RunDetached(ctx)
			if err == nil || errors.Is(err, daemon.ErrNotDetached) {
				return err
			}
			return errTold // in the log, which is standard error
		},
	}
}

func printReady(w io.Writer, r daemon.Ready) {
	fmt.Fprintf(w, "mounted %s (pid %d)\n", r.Mountpoint, r.PID)
	fmt.Fprintf(w, "  bucket  %s\n", bucketText(r.Bucket))
	fmt.Fprintf(w, "  cache   %s\n", cacheText(r.Cache))
	if r.Cache.Log != "" {
		fmt.Fprintf(w, "  log     %s\n", r.Cache.Log)
	}
	if r.Web != "" {
		fmt.Fprintf(w, "  web     %s\n", r.Web)
	}
	fmt.Fprintln(w, "use it with")
	printUse(w, "  ", r.Use)
}

func bucketText(b daemon.BucketStatus) string {
	s := b.URL
	if b.Endpoint != "" {
		s += " at " + b.Endpoint
	}
	if b.Embedded != "" {
		return s + " (embedded: " + b.Embedded + ")"
	}
	return s + " (region " + b.Region + ")"
}

func cacheText(c daemon.CacheStatus) string {
	s := c.Dir
	if c.Size > 0 {
		s += fmt.Sprintf(" (at most %s, leaving %s free)", sizeText(c.Size), sizeText(c.MinFree))
	} else {
		s += fmt.Sprintf(" (leaving %s free)", sizeText(c.MinFree))
	}
	return s
}

func sizeText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
