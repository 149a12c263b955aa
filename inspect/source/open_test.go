package source_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/source"
	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
	"github.com/layoutfs/layoutfs/sync/disk"
)

func openLayout(t testing.TB, c *content) inspect.Source {
	t.Helper()
	dir := t.TempDir()
	c.layout(t, dir)
	l, err := source.OpenLayout(dir)
	must(t, err)
	return l
}

// fill puts the content into a bucket, as layoutfs and type=s3 would have.
func (c *content) fill(t testing.TB) (bucket.Config, *bucket.Client) {
	t.Helper()
	config := buckettest.Start(t)
	client := buckettest.OpenWith(t, config, bucket.Options{})
	for d, b := range c.blobs {
		must(t, client.PutBlob(t.Context(), d, readerOf(b), int64(len(b))))
	}
	for name, d := range c.names {
		must(t, client.PutName(t.Context(), name, []byte("{}"), &d))
	}
	for name, body := range c.configs {
		must(t, client.PutName(t.Context(), name, body, nil))
	}
	must(t, client.PutName(t.Context(), broken, []byte("no JSON"), nil))
	return config, client
}

func openBucket(t testing.TB, c *content) inspect.Source {
	t.Helper()
	_, client := c.fill(t)
	return source.NewBucket(client)
}

func openCacheDir(t testing.TB, c *content) inspect.Source {
	t.Helper()
	dir := t.TempDir()
	c.cacheDir(t, dir)
	src, err := source.OpenCacheDir(t.Context(), dir, slog.New(slog.DiscardHandler))
	must(t, err)
	if src.Notice() != "" {
		t.Errorf("notice of a directory that nobody uses: %s", src.Notice())
	}
	return src
}

// cacheDir fills a cache directory: what is of a name is warm, what is not is staged.
func (c *content) cacheDir(t testing.TB, dir string) {
	t.Helper()
	store, err := disk.Open(dir, disk.Options{})
	must(t, err)
	for d, b := range c.blobs {
		if d != c.lone {
			must(t, store.Keep(b, d))
			continue
		}
		path := filepath.Join(store.Scratch(), "data")
		must(t, os.WriteFile(path, b, 0o600))
		_, err := store.Stage(t.Context(), path, d)
		must(t, err)
	}
	x, err := index.Open(store.IndexDir(), slog.New(slog.DiscardHandler))
	must(t, err)
	for name, d := range c.names {
		must(t, x.PutName(index.Name{Name: name, Descriptor: d}))
	}
	for name, body := range c.configs {
		l, err := cacheconfig.Import(body)
		must(t, err)
		must(t, x.PutName(index.Name{Name: name, Descriptor: l.Descriptor, Closure: l.Closure, Synthetic: true}))
		for _, doc := range c.documents(t, name) {
			must(t, store.Keep(doc, digest.FromBytes(doc)))
		}
	}
	must(t, store.PutPending(broken, []byte("no JSON")))
	must(t, x.Close())
	must(t, store.Close())
}

func openMount(t testing.TB, c *content) inspect.Source {
	t.Helper()
	return source.NewMount(mount(t, c))
}

// openBucketOfMount asks a mount for its bucket.
func openBucketOfMount(t testing.TB, c *content) inspect.Source {
	t.Helper()
	_, client := mount(t, c)
	return source.NewBucket(client.Bucket())
}

// mount mounts the filled bucket for real.
func mount(t testing.TB, c *content) (string, *daemon.Client) {
	t.Helper()
	config, _ := c.fill(t)
	dir := t.TempDir()
	if len(dir) > 70 { // a socket's path must be short
		t.Fatalf("set $TMPDIR to a shorter path than %s", dir)
	}
	t.Setenv("LAYOUTFS_RUNTIME_DIR", filepath.Join(dir, "run"))
	at := filepath.Join(dir, "mnt")
	must(t, os.Mkdir(at, 0o755))
	d, err := daemon.Start(t.Context(), daemon.Config{
		Mountpoint: at, Bucket: config, CacheDir: filepath.Join(dir, "cache"), Refresh: time.Millisecond,
		DrainTimeout: time.Minute, Log: daemon.LogConfig{Level: "info", Format: "text"},
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	must(t, err)
	signals, done := make(chan os.Signal, 1), make(chan error)
	go func() { done <- d.Serve(signals) }()
	t.Cleanup(func() {
		signals <- os.Interrupt
		must(t, <-done)
	})
	client, err := daemon.Find(at)
	must(t, err)
	return at, client
}
