// Command bench measures layoutfs against everything that a user would pick instead, side by side on one
// machine: `make bench`. docs/performance.md tells what is measured, and what came out.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := execute(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func execute() error {
	b := &bench{samples: samples{}, exporters: map[string]exported{}}
	flag.Var(&b.rows, "rows", "measure these rows only, such as E1,I1")
	flag.Var(&b.links, "links", "measure over these links only: loopback, slow")
	flag.Var(&b.servers, "servers", "measure with these servers only: versitygw, minio")
	flag.IntVar(&b.rounds, "rounds", 5, "measure each this many times, if there is time")
	flag.DurationVar(&b.within, "within", 21*time.Minute, "begin no second round of anything that would take longer than this in all")
	flag.Int64Var(&b.huge, "huge", 4, "GiB of the blob of row M")
	flag.IntVar(&b.many, "many", 1_000_000, "blobs in the bucket of row N")
	flag.BoolVar(&b.few, "few", false, "leave out rclone and s3fs")
	flag.StringVar(&b.layoutfs, "layoutfs", "../bin/layoutfs", "measure this program")
	flag.StringVar(&b.tools, "tools", "../.tools", "where the Makefile builds what it is measured against")
	out := flag.String("out", "out", "the folder to write results to")
	kept := flag.String("kept", "results", "the folder with kept results, of which the last is compared with")
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := b.prepare(); err != nil {
		return err
	}
	defer b.end()
	began := time.Now()
	if err := b.measure(ctx); err != nil {
		return err
	}
	return b.finish(*out, *kept, began)
}
