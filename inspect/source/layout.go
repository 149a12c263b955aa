package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/tag"
	"github.com/layoutfs/layoutfs/inspect"
)

// maxIndex is the longest index.json that is read, in bytes.
const maxIndex = 256 << 20

// Layout is a folder with an OCI image layout. Its names are the tags of its index.json; an entry that has an
// image name goes by that, and one that has neither by its digest, as in the root of a mount.
type Layout struct{ dir string }

// OpenLayout opens a folder, which must have an index.json.
func OpenLayout(dir string) (*Layout, error) {
	info, err := os.Stat(filepath.Join(dir, ocispec.ImageIndexFile))
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("index.json is no file")
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no OCI image layout: %w", dir, err)
	}
	return &Layout{dir: dir}, nil
}

// Names implements inspect.Source.
func (l *Layout) Names(ctx context.Context) iter.Seq2[inspect.Name, error] {
	return func(yield func(inspect.Name, error) bool) {
		entries, err := l.index()
		if err != nil {
			yield(inspect.Name{}, err)
			return
		}
		seen := map[string]bool{}
		for _, d := range entries {
			if err := context.Cause(ctx); err != nil {
				yield(inspect.Name{}, err)
				return
			}
			if key := tag.Key(d); !seen[key] {
				seen[key] = true
				if !yield(l.name(key, d), nil) {
					return
				}
			}
		}
	}
}

// Name implements inspect.Source.
func (l *Layout) Name(_ context.Context, name string) (inspect.Name, error) {
	entries, err := l.index()
	if err != nil {
		return inspect.Name{}, err
	}
	for _, d := range entries {
		if tag.Key(d) == name {
			return l.name(name, d), nil
		}
	}
	return inspect.Name{}, fmt.Errorf("name %q in %s: %w", name, l.dir, iofs.ErrNotExist)
}

func (l *Layout) name(name string, d ocispec.Descriptor) inspect.Name {
	if err := d.Digest.Validate(); err != nil {
		return inspect.Name{Name: name, Broken: fmt.Sprintf("digest %q: %v", d.Digest, err)}
	}
	n := inspect.Name{Name: name, Descriptor: d}
	if info, err := os.Stat(l.path(d.Digest)); err == nil {
		n.Updated = info.ModTime()
	}
	return n
}

// index reads the entries of index.json.
func (l *Layout) index() ([]ocispec.Descriptor, error) {
	path := filepath.Join(l.dir, ocispec.ImageIndexFile)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the names: %w", err)
	}
	defer f.Close()
	var index struct {
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	if err := json.NewDecoder(io.LimitReader(f, maxIndex)).Decode(&index); err != nil {
		return nil, fmt.Errorf("read the names: %s: %w", path, err)
	}
	return index.Manifests, nil
}

func (l *Layout) path(d digest.Digest) string {
	return filepath.Join(l.dir, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// Blobs implements inspect.Source.
func (l *Layout) Blobs(ctx context.Context) iter.Seq2[inspect.Blob, error] {
	return func(yield func(inspect.Blob, error) bool) {
		for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
			for b, err := range l.folder(ctx, alg) {
				if !yield(b, err) || err != nil {
					return
				}
			}
		}
	}
}

// folder lists the blobs of one algorithm, some entries at a time.
func (l *Layout) folder(ctx context.Context, alg digest.Algorithm) iter.Seq2[inspect.Blob, error] {
	return func(yield func(inspect.Blob, error) bool) {
		f, err := os.Open(filepath.Join(l.dir, ocispec.ImageBlobsDir, alg.String()))
		if errors.Is(err, iofs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(inspect.Blob{}, fmt.Errorf("list the blobs: %w", err))
			return
		}
		defer f.Close()
		for done := false; !done; {
			entries, err := f.ReadDir(1024)
			done = errors.Is(err, io.EOF)
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil && !done {
				yield(inspect.Blob{}, fmt.Errorf("list the blobs: %w", err))
				return
			}
			for _, e := range entries {
				d := digest.NewDigestFromEncoded(alg, e.Name())
				info, err := e.Info()
				if d.Validate() != nil || err != nil || !info.Mode().IsRegular() {
					continue // a client's temporary file, or gone meanwhile
				}
				if !yield(blobOf(d, info), nil) {
					return
				}
			}
		}
	}
}

func blobOf(d digest.Digest, info iofs.FileInfo) inspect.Blob {
	return inspect.Blob{Digest: d, Size: info.Size(), In: inspect.Folder, Modified: info.ModTime()}
}

// Stat implements inspect.Source.
func (l *Layout) Stat(_ context.Context, d digest.Digest) (inspect.Blob, error) {
	if err := d.Validate(); err != nil {
		return inspect.Blob{}, fmt.Errorf("look for blob %q: %w", d, err)
	}
	info, err := os.Stat(l.path(d))
	if err != nil {
		return inspect.Blob{}, fmt.Errorf("look for blob %s: %w", d, err)
	}
	return blobOf(d, info), nil
}

// Open implements inspect.Source.
func (l *Layout) Open(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("read blob %q: %w", d, err)
	}
	f, err := os.Open(l.path(d))
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", d, err)
	}
	return section(ctx, f, d, off, n)
}
