package main

import (
	"context"
	"os"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// place is where a builder keeps its cache.
type place interface {
	// cacheTo and cacheFrom are the values of buildctl's --export-cache and --import-cache, without attributes.
	cacheTo() string
	cacheFrom() string
	// settle waits until everything that was exported is in the bucket.
	settle(ctx context.Context) error
	// fetch is what must be done before an import.
	fetch(ctx context.Context) error
	// renew makes the place that of a new host: it knows nothing but the bucket.
	renew(ctx context.Context) error
	close(ctx context.Context) error
}

// contender is what a user would pick to keep a cache.
type contender struct {
	name     string
	open     func(ctx context.Context, b *bench, c bucket.Config) (place, error)
	optional bool // it does not end the run if it fails, which some do
}

const (
	layoutfsName    = "layoutfs"
	plainName       = "plain folder"
	s3Name          = "type=s3"
	rcloneSyncName  = "plain + rclone sync"
	rcloneMountName = "rclone mount"
	s3fsName        = "s3fs"
)

// instant is the part of a place that has nothing to wait for.
type instant struct{}

func (instant) settle(context.Context) error { return nil }
func (instant) fetch(context.Context) error  { return nil }
func (instant) renew(context.Context) error  { return nil }
func (instant) close(context.Context) error  { return nil }

// plain is a folder that nothing sends anywhere.
type plain struct {
	instant
	dir string
}

func openPlain(_ context.Context, b *bench, _ bucket.Config) (place, error) {
	dir, err := b.folder("plain")
	return plain{dir: dir}, err
}

func (p plain) cacheTo() string             { return "type=local,dest=" + p.dir }
func (p plain) cacheFrom() string           { return "type=local,src=" + p.dir }
func (p plain) close(context.Context) error { return os.RemoveAll(p.dir) }

// s3 is BuildKit's own.
type s3 struct {
	instant
	csv string
}

func openS3(_ context.Context, _ *bench, c bucket.Config) (place, error) { return s3{csv: csv(c)}, nil }

func (p s3) cacheTo() string   { return "type=s3," + p.csv }
func (p s3) cacheFrom() string { return "type=s3," + p.csv }
