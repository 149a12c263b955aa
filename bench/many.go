package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// manyNames measures row N: the time from a mount until the first build can import.
func (b *bench) manyNames(ctx context.Context, s *server) (round, error) {
	where, err := s.newBucket(ctx, loopback)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := b.fill(ctx, s, where); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "a bucket with %d blobs in %.0f s\n", b.many, time.Since(began).Seconds())
	k := func(work, who string) key { return key{"N", work, loopback, s.name, who} }
	return func(ctx context.Context, n int) error {
		m := &mount{bench: b, csv: csv(where)}
		layout := func() string { return filepath.Join(m.point(), "name-"+strconv.Itoa(n)) }
		err := b.timed(k("first ever", layoutfsName), func() error {
			if err := m.mount(ctx); err != nil {
				return err
			}
			return readLayout(layout())
		})
		if err != nil {
			return err
		}
		if err := m.umount(ctx); err != nil {
			return err
		}
		err = b.timed(k("warm index", layoutfsName), func() error {
			if err := m.again(ctx); err != nil {
				return err
			}
			return readLayout(layout())
		})
		b.samples.add(k("first ever", allowedName), 3)
		b.samples.add(k("warm index", allowedName), 1)
		if err != nil {
			return err
		}
		return m.close(ctx)
	}, nil
}

// fill makes the bucket large, in the folder where versitygw keeps it: over its API it would take longer than the
// whole run. Each name is that of a real cache.
func (b *bench) fill(ctx context.Context, s *server, where bucket.Config) error {
	w, exporter, err := b.built(ctx, newTiny)
	if err != nil {
		return err
	}
	if err := exporter.build(ctx, w.dir, "--export-cache", "type=s3,"+csv(where)+attributes); err != nil {
		return err
	}
	dir := filepath.Join(s.data, where.Bucket)
	found, err := filepath.Glob(filepath.Join(dir, "manifests", "cache*"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("the name object in %s: %v %w", dir, found, err)
	}
	// The server has an ending of its own for files that are objects.
	ending := strings.TrimPrefix(filepath.Base(found[0]), "cache")
	config, err := os.ReadFile(found[0])
	if err != nil {
		return err
	}
	for i := range names {
		if err := os.WriteFile(filepath.Join(dir, "manifests", "name-"+strconv.Itoa(i)+ending), config, 0o644); err != nil {
			return err
		}
	}
	var all errgroup.Group
	for part := range writers {
		all.Go(func() error {
			for i := part; i < b.many; i += writers {
				if err := os.WriteFile(filepath.Join(dir, "blobs", fmt.Sprintf("sha256:%064x", i)+ending), nil, 0o644); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return all.Wait()
}

const (
	names   = 10_000 // in the large bucket
	writers = 4
)

// readLayout reads what an import reads before layers.
func readLayout(dir string) error {
	var index ocispec.Index
	if err := readJSON(filepath.Join(dir, "index.json"), &index); err != nil {
		return err
	}
	if len(index.Manifests) != 1 {
		return fmt.Errorf("%d manifests in the index of %s", len(index.Manifests), dir)
	}
	var manifest ocispec.Manifest
	if err := readJSON(in(dir, index.Manifests[0].Digest), &manifest); err != nil {
		return err
	}
	_, err := os.ReadFile(in(dir, manifest.Config.Digest))
	return errors.Join(err, wantLayers(manifest))
}

func wantLayers(m ocispec.Manifest) error {
	if len(m.Layers) == 0 {
		return errors.New("a cache without layers")
	}
	return nil
}

func readJSON(path string, to any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}
