package main

import (
	"context"
	"io"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// BenchmarkListBucket lists a bucket of 1,000 names that nothing is known of, beside the bare requests which
// that takes, made as fast as they can be: in less than twice their time.
func BenchmarkListBucket(b *testing.B) {
	const names, blobs = 1_000, 20
	csv := newVast(names, blobs).start(b)
	bare := func() time.Duration {
		config, err := daemon.ParseBucket(csv, nil, false)
		if err != nil {
			b.Fatal(err)
		}
		client, err := bucket.Open(b.Context(), config, bucket.Options{})
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if err := bareListing(b.Context(), client); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	var ours, theirs time.Duration
	for b.Loop() {
		theirs += bare()
		began := time.Now()
		program(b, "ls", "--s3", csv)
		ours += time.Since(began)
	}
	ratio := float64(ours) / float64(theirs)
	b.ReportMetric(ratio, "times-bare")
	if ratio > 2 {
		b.Errorf("it took %.2f times as long as the bare requests", ratio)
	}
}

// bareListing makes the requests that a listing takes: all names, each name's object and manifest, all blobs.
func bareListing(ctx context.Context, client *bucket.Client) error {
	const atOnce = 32
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		for _, err := range client.ListBlobs(ctx) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	reads, rctx := errgroup.WithContext(ctx)
	reads.SetLimit(atOnce)
	for n, err := range client.ListNames(ctx, "") {
		if err != nil {
			return err
		}
		reads.Go(func() error {
			obj, err := client.GetName(rctx, n.Name)
			if err != nil {
				return err
			}
			r, err := client.OpenBlob(rctx, obj.Descriptor.Digest, 0, -1)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(io.Discard, r)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return err
	}
	return group.Wait()
}
