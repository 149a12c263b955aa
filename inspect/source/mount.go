package source

import (
	"context"
	"fmt"
	"io"
	iofs "io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/inspect"
)

// Control is what Mount asks the daemon, over its control socket.
type Control interface {
	// Names lists the names as last listed, by what they are called in the bucket.
	Names(ctx context.Context, prefix string) iter.Seq2[inspect.Name, error]
	// Summaries lists the names, summarised where what they reach is known.
	Summaries(ctx context.Context) iter.Seq2[inspect.Listed, error]
	// Blobs lists local copies, then what the bucket has; if it does not answer, what it had when last seen.
	Blobs(ctx context.Context) iter.Seq2[inspect.Blob, error]
	// LocalBlobs lists local copies.
	LocalBlobs(ctx context.Context) iter.Seq2[inspect.Blob, error]
	// Stat says where a blob is; the error wraps fs.ErrNotExist if it is nowhere.
	Stat(ctx context.Context, d digest.Digest) (inspect.Blob, error)
	// Warm brings a blob to local disk.
	Warm(ctx context.Context, d digest.Digest) error
}

// Mount is a running mount: blobs are read through its mountpoint, as from any layout, and the daemon says
// what names there are and where blobs are.
type Mount struct {
	dir     string
	control Control
}

// NewMount reads the mount at a mountpoint.
func NewMount(dir string, control Control) *Mount { return &Mount{dir, control} }

// refresh makes the daemon look for names that are newer than --refresh, by what every client does.
func (m *Mount) refresh() error {
	f, err := os.Open(filepath.Join(m.dir, ocispec.ImageIndexFile))
	if err != nil {
		return fmt.Errorf("read the names of the mount: %w", err)
	}
	return f.Close()
}

// Names implements inspect.Source.
func (m *Mount) Names(ctx context.Context) iter.Seq2[inspect.Name, error] {
	return func(yield func(inspect.Name, error) bool) {
		if err := m.refresh(); err != nil {
			yield(inspect.Name{}, err)
			return
		}
		for n, err := range m.control.Names(ctx, "") {
			if !yield(n, err) || err != nil {
				return
			}
		}
	}
}

// Summaries lists the names, summarised by the daemon where it knows what they reach.
func (m *Mount) Summaries(ctx context.Context) iter.Seq2[inspect.Listed, error] {
	if err := m.refresh(); err != nil {
		return func(yield func(inspect.Listed, error) bool) { yield(inspect.Listed{}, err) }
	}
	return m.control.Summaries(ctx)
}

// Name implements inspect.Source.
func (m *Mount) Name(ctx context.Context, name string) (inspect.Name, error) {
	if err := m.refresh(); err != nil {
		return inspect.Name{}, err
	}
	for n, err := range m.control.Names(ctx, name) {
		if err != nil {
			return inspect.Name{}, err
		}
		if n.Name == name {
			return n, nil
		}
	}
	return inspect.Name{}, fmt.Errorf("name %q in %s: %w", name, m.dir, iofs.ErrNotExist)
}

// Blobs implements inspect.Source.
func (m *Mount) Blobs(ctx context.Context) iter.Seq2[inspect.Blob, error] {
	return m.control.Blobs(ctx)
}

// LocalBlobs lists what is on local disk, without asking the bucket.
func (m *Mount) LocalBlobs(ctx context.Context) iter.Seq2[inspect.Blob, error] {
	return m.control.LocalBlobs(ctx)
}

// Stat implements inspect.Source.
func (m *Mount) Stat(ctx context.Context, d digest.Digest) (inspect.Blob, error) {
	if err := d.Validate(); err != nil {
		return inspect.Blob{}, fmt.Errorf("look for blob %q: %w", d, err)
	}
	return m.control.Stat(ctx, d)
}

// Open implements inspect.Source. What is not on local disk is fetched, as for every reader of the mount.
func (m *Mount) Open(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("read blob %q: %w", d, err)
	}
	f, err := os.Open(filepath.Join(m.dir, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded()))
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", d, err)
	}
	return section(ctx, f, d, off, n)
}

// Warm brings a blob to local disk, verified. To read it would not do: the kernel may have it, and not ask.
func (m *Mount) Warm(ctx context.Context, d digest.Digest) error { return m.control.Warm(ctx, d) }
