package source

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"iter"
	"log/slog"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// CacheDir is a cache directory, read without any network and whether a daemon owns it or not.
type CacheDir struct {
	look   *disk.Look
	names  map[string]inspect.Name
	notice string
}

// OpenCacheDir opens a cache directory. Its names are read from the index, which a daemon that runs keeps to
// itself: then, and if there is no index that can be read, Notice says so, and the manifests that are on
// local disk are listed by their digests.
func OpenCacheDir(ctx context.Context, dir string, log *slog.Logger) (*CacheDir, error) {
	look, err := disk.OpenLook(dir)
	if err != nil {
		return nil, err
	}
	c := &CacheDir{look: look, names: map[string]inspect.Name{}}
	if busy := look.Busy(); busy != nil {
		c.notice = fmt.Sprintf("%s is in use (pid %d), and its names are in the daemon's index: manifests are listed by their digests; ask the mount to see names", dir, busy.PID)
		err = c.unnamed(ctx)
	} else if failed := c.indexed(log); failed != nil {
		c.notice = fmt.Sprintf("manifests are listed by their digests, because the names cannot be read: %v", failed)
		err = c.unnamed(ctx)
	}
	if err == nil {
		err = c.waiting()
	}
	return c, errors.Join(err, look.Release())
}

// Notice is what a person should know about the names; empty if there is nothing to say.
func (c *CacheDir) Notice() string { return c.notice }

// indexed reads the names of the index.
func (c *CacheDir) indexed(log *slog.Logger) (err error) {
	x, discard, err := index.OpenCopy(c.look.IndexDir(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, discard()) }()
	for n, err := range x.Names("") {
		if err != nil {
			return err
		}
		c.names[n.Name] = inspect.Name{
			Name: n.Name, Descriptor: n.Descriptor, Updated: n.Version.LastModified, Synthetic: n.Synthetic, Closure: n.Closure,
		}
	}
	return nil
}

// waiting adds the names that wait for their publication.
func (c *CacheDir) waiting() error {
	docs, err := c.look.Pending()
	if err != nil {
		return err
	}
	for name, doc := range docs {
		var p struct {
			Descriptor ocispec.Descriptor `json:"descriptor"`
		}
		if err := json.Unmarshal(doc, &p); err != nil {
			c.names[name] = inspect.Name{Name: name, Broken: fmt.Sprintf("it waits for publication, and what is kept of it cannot be read: %v", err)}
			continue
		}
		c.names[name] = inspect.Name{Name: name, Descriptor: p.Descriptor}
	}
	return nil
}

// maxManifest is the largest local blob that is looked at for a manifest, in bytes; clients' own limit.
const maxManifest = 4 << 20

// unnamed lists the local manifests that no other local manifest names.
func (c *CacheDir) unnamed(ctx context.Context) error {
	found := map[digest.Digest]inspect.Name{}
	named := map[digest.Digest]bool{}
	for info, err := range c.look.All() {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if info.Size > maxManifest || info.State == disk.Partial {
			continue
		}
		m, err := c.manifest(info.Digest)
		if err != nil {
			continue // no manifest, or gone meanwhile
		}
		d := ocispec.Descriptor{MediaType: cmp.Or(m.MediaType, ocispec.MediaTypeImageManifest), Digest: info.Digest, Size: info.Size}
		found[info.Digest] = inspect.Name{Name: info.Digest.String(), Descriptor: d}
		for _, child := range m.Manifests {
			named[child.Digest] = true
		}
	}
	for d, n := range found {
		if !named[d] {
			c.names[n.Name] = n
		}
	}
	return nil
}

func (c *CacheDir) manifest(d digest.Digest) (cacheconfig.Manifest, error) {
	f, err := c.look.Open(d)
	if err != nil {
		return cacheconfig.Manifest{}, err
	}
	defer f.Close()
	var head [1]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || head[0] != '{' {
		return cacheconfig.Manifest{}, errors.New("is no JSON object")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return cacheconfig.Manifest{}, err
	}
	return cacheconfig.ParseManifest(b)
}

// Names implements inspect.Source.
func (c *CacheDir) Names(ctx context.Context) iter.Seq2[inspect.Name, error] {
	return func(yield func(inspect.Name, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(c.names)) {
			if err := context.Cause(ctx); err != nil {
				yield(inspect.Name{}, err)
				return
			}
			if !yield(c.names[name], nil) {
				return
			}
		}
	}
}

// Name implements inspect.Source.
func (c *CacheDir) Name(_ context.Context, name string) (inspect.Name, error) {
	n, ok := c.names[name]
	if !ok {
		return inspect.Name{}, fmt.Errorf("name %q in the cache directory: %w", name, iofs.ErrNotExist)
	}
	return n, nil
}

// Blobs implements inspect.Source.
func (c *CacheDir) Blobs(ctx context.Context) iter.Seq2[inspect.Blob, error] {
	return func(yield func(inspect.Blob, error) bool) {
		for info, err := range c.look.All() {
			if err == nil {
				err = context.Cause(ctx)
			}
			if !yield(onDisk(info), err) || err != nil {
				return
			}
		}
	}
}

// LocalBlobs is Blobs: what is not on local disk may well be in the bucket.
func (c *CacheDir) LocalBlobs(ctx context.Context) iter.Seq2[inspect.Blob, error] {
	return c.Blobs(ctx)
}

func onDisk(info disk.Info) inspect.Blob {
	in := map[disk.State]inspect.Place{disk.Staged: inspect.Staged, disk.Warm: inspect.Warm, disk.Partial: inspect.Partial}
	return inspect.Blob{Digest: info.Digest, Size: info.Size, In: in[info.State], Used: info.Used}
}

// Stat implements inspect.Source.
func (c *CacheDir) Stat(_ context.Context, d digest.Digest) (inspect.Blob, error) {
	if info := c.look.Stat(d); info.State != disk.Absent {
		return onDisk(info), nil
	}
	return inspect.Blob{}, fmt.Errorf("look for blob %s on local disk: %w", d, iofs.ErrNotExist)
}

// Open implements inspect.Source.
func (c *CacheDir) Open(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	f, err := c.look.Open(d)
	if err != nil {
		return nil, err
	}
	return section(ctx, f, d, off, n)
}
