package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/embedded"
	"github.com/layoutfs/layoutfs/fs"
	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/sync"
	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// Start composes a mount that answers when Start returns. Everything that can fail for a reason outside
// this program is tried before anything is mounted, and what was begun is undone on an error.
// ctx bounds the start alone.
func Start(ctx context.Context, c Config, log *slog.Logger) (_ *Daemon, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d := &Daemon{config: c, log: log, started: time.Now(), leave: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.undo.run())
		}
	}()
	if err := d.takeMountpoint(); err != nil {
		return nil, err
	}
	if err := d.listenWeb(); err != nil {
		return nil, err
	}
	client, err := d.openBucket(ctx)
	if err != nil {
		return nil, err
	}
	store, err := d.openDisk()
	if err != nil {
		return nil, err
	}
	engine, err := d.openEngine(client, store)
	if err != nil {
		return nil, err
	}
	d.engine = engine
	if err := d.mountOn(ctx, engine, store); err != nil {
		return nil, err
	}
	log.Info("mounted", "mountpoint", c.Mountpoint, "bucket", d.config.Bucket, "cache_dir", c.CacheDir, "version", c.Version)
	return d, nil
}

// takeMountpoint checks the mountpoint, claims its entry and listens on its control socket.
func (d *Daemon) takeMountpoint() error {
	if err := d.config.checkMountpoint(); err != nil {
		return err
	}
	dir, err := makeRuntimeDir(runtimeDirs())
	if err != nil {
		return err
	}
	if err := sweep(dir); err != nil {
		d.log.Warn("clean up after dead daemons", "dir", dir, "err", err)
	}
	e, err := claim(dir, d.config.Mountpoint)
	if err != nil {
		return err
	}
	d.undo.add(e.release)
	if d.listener, err = e.listen(); err != nil {
		return err
	}
	d.undo.add(func() error { _ = d.listener.Close(); return nil }) // closed by the server already, usually
	return nil
}

// openBucket starts the embedded server if it is wanted, and makes sure that the bucket answers.
func (d *Daemon) openBucket(ctx context.Context) (*bucket.Client, error) {
	if d.config.Embedded != "" {
		if err := d.startEmbedded(ctx); err != nil {
			return nil, err
		}
	}
	client, err := bucket.Open(ctx, d.config.Bucket, bucket.Options{Log: d.log})
	if err != nil {
		return nil, err
	}
	if d.config.Offline {
		return client, nil
	}
	return client, client.Check(ctx)
}

// startEmbedded serves the folder, and points the configuration of the bucket there.
func (d *Daemon) startEmbedded(ctx context.Context) error {
	b := &d.config.Bucket
	server, err := embedded.Start(ctx, embedded.Options{Dir: d.config.Embedded, Bucket: b.Bucket, Log: d.log})
	if err != nil {
		return err
	}
	d.undo.add(server.Close)
	go func() {
		if err := server.Wait(); err != nil {
			d.log.Error("mount again to have a bucket again", "err", err)
		}
	}()
	at := server.Config()
	b.Bucket, b.Region, b.EndpointURL, b.UsePathStyle = at.Bucket, at.Region, at.EndpointURL, at.UsePathStyle
	b.AccessKeyID, b.SecretAccessKey, b.SessionToken = at.AccessKeyID, at.SecretAccessKey, at.SessionToken
	return nil
}

// openDisk locks the cache directory.
func (d *Daemon) openDisk() (*disk.Store, error) {
	c := d.config
	if err := os.MkdirAll(c.CacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("cache directory: %w; choose another with --cache-dir", err)
	}
	size, err := c.CacheSize.On(c.CacheDir)
	if err != nil {
		return nil, err
	}
	free, err := c.MinFree.On(c.CacheDir)
	if err != nil {
		return nil, err
	}
	free = max(free, 2*index.Reserve) // the index must be able to write when the disk is as full as we make it
	d.cache = CacheStatus{Dir: c.CacheDir, Size: size, MinFree: free, Log: c.Log.File}
	store, err := disk.Open(c.CacheDir, disk.Options{CacheSize: size, MinFree: free, Log: d.log})
	if err != nil {
		return nil, err
	}
	d.undo.add(store.Close)
	return store, claimCache(store, c.CacheDir, c.identity(), d.log)
}

// openEngine opens the index and starts the engine on it.
func (d *Daemon) openEngine(client *bucket.Client, store *disk.Store) (*sync.Engine, error) {
	c := d.config
	x, err := index.Start(store.IndexDir(), d.log)
	if err != nil {
		return nil, err
	}
	d.undo.add(x.Close)
	d.parts = parts{bucket: client, disk: store, index: x}
	d.watchDisk()
	if err := client.Remember(store); err != nil {
		return nil, err
	}
	// The engine outlives the start: it ends with Close.
	e, err := sync.Open(context.Background(), sync.Options{
		Blobs: client, Names: client, Disk: store, Index: x,
		Configured: c.Bucket.Names,
		WriteBack:  c.WriteBack, IgnoreError: c.Bucket.Export.IgnoreError, ReadOnly: c.ReadOnly, AllowDelete: c.AllowDelete,
		Offline: c.Offline, VerifyReads: c.VerifyReads,
		Refresh: atLeastATick(c.Refresh), TouchRefresh: atLeastATick(c.Bucket.TouchRefresh),
		Patience: atLeastATick(c.Patience),
		Uploads:  c.Bucket.UploadParallelism,
		Log:      d.log,
	})
	if err != nil {
		return nil, err
	}
	d.undo.add(e.Close)
	d.parts.engine = e
	return e, nil
}

// atLeastATick is d, or nearly nothing: zero would stand for the default.
func atLeastATick(d time.Duration) time.Duration { return max(d, time.Nanosecond) }

// mountOn is the last step.
func (d *Daemon) mountOn(ctx context.Context, e *sync.Engine, store *disk.Store) error {
	c := d.config
	server, err := fs.Mount(ctx, c.Mountpoint, fs.Options{
		Blobs: blobs{e}, Names: e,
		Scratch: store.Scratch(), Admit: store.Admit, Ample: store.Ample,
		ReadOnly: c.ReadOnly, AllowOther: c.AllowOther,
		UID: c.UID, GID: c.GID, Umask: c.Umask,
		Refresh: atLeastATick(c.Refresh),
		Log:     d.log, Failed: e.Failed, Source: "layoutfs:" + c.Bucket.Bucket,
	})
	if err != nil {
		return err
	}
	d.mount = server
	return nil
}

// blobs is the engine as package fs sees it: neither knows the other's types.
type blobs struct{ *sync.Engine }

// Open implements fs.Blobs.
func (b blobs) Open(ctx context.Context, d digest.Digest) (fs.Blob, error) {
	r, err := b.Engine.Open(ctx, d)
	if err != nil {
		return nil, err // a nil *sync.Reader would be no nil fs.Blob
	}
	return r, nil
}
