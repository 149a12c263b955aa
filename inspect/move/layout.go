package move

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/layoutfs/layoutfs/index/tag"
	"github.com/layoutfs/layoutfs/inspect"
)

// partialDir holds what was not brought to its end, so that it can be gone on with.
const partialDir = ".layoutfs"

// Layout is a folder with an OCI image layout as a Target.
type Layout struct{ dir string }

// ToLayout brings names to a folder, which is made a layout if it is none. A folder with anything else in it
// is refused.
func ToLayout(dir string) (*Layout, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("pull to %s: %w", dir, err)
	}
	is := slices.ContainsFunc(entries, func(e iofs.DirEntry) bool { return e.Name() == ocispec.ImageIndexFile || e.Name() == partialDir })
	if len(entries) > 0 && !is {
		return nil, fmt.Errorf("pull to %s: it is no OCI image layout, and not empty: choose another folder", dir)
	}
	l := &Layout{dir: dir}
	for _, path := range []string{l.path(ocispec.ImageBlobsDir, "sha256"), l.path(partialDir)} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, fmt.Errorf("pull to %s: %w", dir, err)
		}
	}
	return l, nil
}

func (l *Layout) path(elem ...string) string {
	return filepath.Join(append([]string{l.dir}, elem...)...)
}

func (l *Layout) blob(d digest.Digest) string {
	return l.path(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// Has implements Target.
func (l *Layout) Has(_ context.Context, d ocispec.Descriptor) (bool, error) {
	if err := d.Digest.Validate(); err != nil {
		return false, fmt.Errorf("blob %q: %w", d.Digest, err)
	}
	info, err := os.Stat(l.blob(d.Digest))
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Mode().IsRegular() && info.Size() == d.Size, err
}

// Put implements Target. What an earlier attempt has brought is not brought again.
func (l *Layout) Put(ctx context.Context, from inspect.Source, d ocispec.Descriptor) error {
	if err := l.put(ctx, from, d); err != nil {
		return fmt.Errorf("write blob %s to %s: %w", d.Digest, l.dir, err)
	}
	return nil
}

func (l *Layout) put(ctx context.Context, from inspect.Source, d ocispec.Descriptor) error {
	partial := l.path(partialDir, d.Digest.Algorithm().String()+"-"+d.Digest.Encoded())
	f, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	sum := d.Digest.Algorithm().Hash()
	have, err := io.Copy(sum, f)
	if err == nil && have > d.Size {
		sum.Reset()
		have = 0
		err = errors.Join(f.Truncate(0), seekTo(f, 0))
	}
	if err == nil && have < d.Size {
		err = appendTo(ctx, io.MultiWriter(f, sum), from, d, have)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if found := digest.NewDigest(d.Digest.Algorithm(), sum); found != d.Digest {
		return errors.Join(fmt.Errorf("%w: they have the digest %s", inspect.ErrMismatch, found), os.Remove(partial))
	}
	if err := os.MkdirAll(filepath.Dir(l.blob(d.Digest)), 0o755); err != nil {
		return err
	}
	return os.Rename(partial, l.blob(d.Digest))
}

func seekTo(f *os.File, off int64) error {
	_, err := f.Seek(off, io.SeekStart)
	return err
}

// appendTo brings what is missing of a blob.
func appendTo(ctx context.Context, w io.Writer, from inspect.Source, d ocispec.Descriptor, have int64) error {
	r, err := from.Open(ctx, d.Digest, have, d.Size-have)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, r.Close())
}

// Name implements Target: it merges an entry into index.json, under the lock that BuildKit takes for that.
func (l *Layout) Name(ctx context.Context, name string, m Moved) error {
	unlock, err := l.lock(ctx)
	if err == nil {
		err = errors.Join(l.merge(name, m.From.Descriptor), unlock())
	}
	if err != nil {
		return fmt.Errorf("write name %q to %s: %w", name, l.dir, err)
	}
	return nil
}

// Documents implements Target.
func (l *Layout) Documents() bool { return true }

// lock takes the lock of index.json, which others hold for a moment only.
func (l *Layout) lock(ctx context.Context) (unlock func() error, err error) {
	f, err := os.OpenFile(l.path("index.json.lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (l *Layout) merge(name string, d ocispec.Descriptor) error {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	b, err := os.ReadFile(l.path(ocispec.ImageIndexFile))
	if err == nil && len(bytes.TrimSpace(b)) > 0 {
		err = json.Unmarshal(b, &index)
	}
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	d = tag.Shown(tag.Stored(d), name)
	index.Manifests = slices.DeleteFunc(index.Manifests, func(other ocispec.Descriptor) bool { return tag.Key(other) == tag.Key(d) })
	index.Manifests = append(index.Manifests, d)
	if b, err = json.Marshal(index); err != nil {
		return err
	}
	if err := l.write(ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"`+ocispec.ImageLayoutVersion+`"}`)); err != nil {
		return err
	}
	return l.write(ocispec.ImageIndexFile, b)
}

// write replaces a file as a whole.
func (l *Layout) write(name string, b []byte) error {
	tmp := l.path(partialDir, name)
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, l.path(name))
}

// Close removes the folder of what was not brought to its end, if all was.
func (l *Layout) Close() error {
	err := os.Remove(l.path(partialDir))
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	return err
}
