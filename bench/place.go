package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// place is where a builder keeps its cache.
type place interface {
	// cacheTo and cacheFrom are the values of buildctl's --export-cache and --import-cache, without attributes.
	cacheTo() string
	cacheFrom() string
	// settle waits until everything that was exported is in the bucket.
	settle(ctx context.Context) error
	// renew makes the place that of a new host: it knows nothing but the bucket.
	renew(ctx context.Context) error
	close(ctx context.Context) error
}

// contender is what a user would pick to keep a cache.
type contender struct {
	name string
	open func(ctx context.Context, b *bench, c bucket.Config) (place, error)
}

const (
	plainName    = "plain folder"
	s3Name       = "type=s3"
	layoutfsName = "layoutfs"
)

// plain is a folder that nothing sends anywhere.
type plain struct{ dir string }

func openPlain(_ context.Context, b *bench, _ bucket.Config) (place, error) {
	dir, err := b.folder("plain")
	return plain{dir}, err
}

func (p plain) cacheTo() string             { return "type=local,dest=" + p.dir }
func (p plain) cacheFrom() string           { return "type=local,src=" + p.dir }
func (plain) settle(context.Context) error  { return nil }
func (plain) renew(context.Context) error   { return nil }
func (p plain) close(context.Context) error { return os.RemoveAll(p.dir) }

// s3 is BuildKit's own.
type s3 struct{ csv string }

func openS3(_ context.Context, _ *bench, c bucket.Config) (place, error) { return s3{csv(c)}, nil }

func (p s3) cacheTo() string            { return "type=s3," + p.csv }
func (p s3) cacheFrom() string          { return "type=s3," + p.csv }
func (s3) settle(context.Context) error { return nil }
func (s3) renew(context.Context) error  { return nil }
func (s3) close(context.Context) error  { return nil }

// mount is a host with layoutfs, as it is by default.
type mount struct {
	bench *bench
	csv   string
	dir   string // with the cache directory, the mountpoint and the control socket
}

func openLayoutfs(ctx context.Context, b *bench, c bucket.Config) (place, error) {
	m := &mount{bench: b, csv: csv(c)}
	return m, m.mount(ctx)
}

func (m *mount) mount(ctx context.Context) (err error) {
	if m.dir, err = m.bench.folder("host"); err != nil {
		return err
	}
	if err := os.Mkdir(m.point(), 0o755); err != nil {
		return err
	}
	_, err = m.do(ctx, "mount", "-d", "--cache-dir", m.cache(), m.point())
	return err
}

func (m *mount) point() string { return filepath.Join(m.dir, "mnt") }
func (m *mount) cache() string { return filepath.Join(m.dir, "cache") }

// do runs a command of layoutfs on this host.
func (m *mount) do(ctx context.Context, args ...string) (string, error) {
	return run(ctx, []string{"LAYOUTFS_RUNTIME_DIR=" + filepath.Join(m.dir, "run"), "LAYOUTFS_S3=" + m.csv}, m.bench.layoutfs, args...)
}

func (m *mount) status(ctx context.Context) (s daemon.Status, err error) {
	out, err := m.do(ctx, "status", "--format", "json", m.point())
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(out), &s)
}

func (m *mount) cacheTo() string   { return "type=local,dest=" + m.point() }
func (m *mount) cacheFrom() string { return "type=local,src=" + m.point() }

// settle has nothing to wait for: with --write through it is all there. So what is left would be a bug.
func (m *mount) settle(context.Context) error { return nil }

func (m *mount) renew(ctx context.Context) error {
	if err := m.close(ctx); err != nil {
		return err
	}
	return m.mount(ctx)
}

func (m *mount) close(ctx context.Context) error {
	if _, err := m.do(ctx, "umount", m.point()); err != nil {
		log, _ := os.ReadFile(filepath.Join(m.cache(), "log"))
		return fmt.Errorf("%w\nlog:\n%s", err, tail(log))
	}
	return os.RemoveAll(m.dir)
}
