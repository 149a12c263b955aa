package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/embedded"
)

func s3Command() *cli.Command {
	return &cli.Command{
		Name:  "s3",
		Usage: "serve S3 from a local folder",
		Description: "A real S3 API on a folder, for trying things out and for machines that share\n" +
			"one. What is sent is not encrypted.\n\n" +
			"   layoutfs s3 --data ./bucket",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Usage: "keep everything in `DIR`", Sources: cli.EnvVars("LAYOUTFS_S3_DATA")},
			&cli.StringFlag{Name: "addr", Value: "127.0.0.1:9000", Usage: "listen on `HOST:PORT`; port 0 takes a free one", Sources: cli.EnvVars("LAYOUTFS_S3_ADDR")},
			&cli.StringFlag{Name: "bucket", Value: "layoutfs", Usage: "make the bucket `NAME` if it is not there", Sources: cli.EnvVars("LAYOUTFS_S3_BUCKET")},
			&cli.StringFlag{Name: "log-level", Value: "info", Usage: "`LEVEL`: info, or debug for every request"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.String("data") == "" {
				return usagef("which folder is to be served? Give --data DIR")
			}
			if c.Args().Present() {
				return usagef("s3 takes no arguments: the folder is given as --data DIR")
			}
			return serveS3(ctx, c)
		},
	}
}

func serveS3(ctx context.Context, c *cli.Command) error {
	p := &parser{c: c}
	level := slog.LevelInfo
	if p.oneOf("log-level", "info", "debug") == "debug" {
		level = slog.LevelDebug
	}
	options := embedded.Options{
		Dir: c.String("data"), Addr: c.String("addr"), Bucket: c.String("bucket"),
		Log: slog.New(slog.NewTextHandler(c.ErrWriter, &slog.HandlerOptions{Level: level})),
	}
	if err := errors.Join(p.err(), options.Validate()); err != nil {
		return usageError{err}
	}
	ctx, cancel := interruptible(ctx)
	defer cancel()
	server, err := embedded.Start(ctx, options)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() {
		cancel()           // a second signal ends this process at once, and with it the server
		_ = server.Close() // Wait says how it ended
	})
	printServer(c.Writer, server)
	return server.Wait()
}

func printServer(w io.Writer, s *embedded.Server) {
	at := s.Config()
	fmt.Fprintf(w, "serving  %s\n", s.Dir())
	fmt.Fprintf(w, "endpoint %s\n", at.EndpointURL)
	fmt.Fprintf(w, "keys     %s\n", filepath.Join(s.Dir(), "credentials.json"))
	fmt.Fprintf(w, "use it with\n  --s3 %s\n", record(
		"region="+at.Region, "bucket="+at.Bucket, "endpoint_url="+at.EndpointURL, "use_path_style=true",
		"access_key_id="+at.AccessKeyID, "secret_access_key="+at.SecretAccessKey,
	))
}

// record is a CSV of one line.
func record(fields ...string) string {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(fields) // a bytes.Buffer takes everything
	w.Flush()
	return strings.TrimSpace(b.String())
}
