package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
)

const (
	// maxDocument is the largest manifest or config that is read, in bytes. BuildKit's local importer takes
	// none above 1 MiB, its importer of type=s3 has no limit.
	maxDocument = 64 << 20
	// maxManifests and maxClosure bound a closure, so that a hostile cache cannot be walked for ever.
	maxManifests = 1_000
	maxClosure   = 1_000_000
)

// ErrMismatch says that a blob's bytes do not have the digest that it is kept under.
var ErrMismatch = errors.New("its bytes are not what its digest says")

// ReadBlob reads a manifest or config whole, and makes sure that it is what its digest says.
func ReadBlob(ctx context.Context, src Source, d ocispec.Descriptor) ([]byte, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("read blob %q: %w", d.Digest, err)
	}
	r, err := src.Open(ctx, d.Digest, 0, -1)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	switch err = errors.Join(err, r.Close()); {
	case err != nil:
		return nil, fmt.Errorf("read blob %s: %w", d.Digest, err)
	case len(b) > maxDocument:
		return nil, fmt.Errorf("read blob %s: more than %d bytes are too many for a manifest or config", d.Digest, maxDocument)
	case d.Digest.Algorithm().FromBytes(b) != d.Digest:
		return nil, fmt.Errorf("read blob %s: %w: they have the digest %s", d.Digest, ErrMismatch, d.Digest.Algorithm().FromBytes(b))
	}
	return b, nil
}

// Closure lists what a name reaches, its manifest first, each blob once. Of a list of platforms, which were
// perhaps never all copied, a manifest that is not there is listed, and what it would name is not.
func Closure(ctx context.Context, src Source, n Name) ([]ocispec.Descriptor, error) {
	if n.Broken != "" {
		return nil, fmt.Errorf("name %q cannot be read: %s", n.Name, n.Broken)
	}
	if n.Closure != nil {
		return n.Closure, nil
	}
	root, err := ReadBlob(ctx, src, n.Descriptor)
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", n.Name, err)
	}
	closure, err := walk(ctx, src, n.Descriptor, root)
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", n.Name, err)
	}
	return closure, nil
}

func walk(ctx context.Context, src Source, root ocispec.Descriptor, doc []byte) ([]ocispec.Descriptor, error) {
	closure := []ocispec.Descriptor{root}
	if !cacheconfig.IsManifest(doc) {
		return closure, nil // any other blob that somebody gave a name
	}
	seen := map[digest.Digest]bool{root.Digest: true}
	for todo, walked := [][]byte{doc}, 0; len(todo) > 0; todo, walked = todo[1:], walked+1 {
		if walked > maxManifests || len(closure) > maxClosure {
			return nil, fmt.Errorf("manifest %s names more than %d manifests or %d blobs", root.Digest, maxManifests, maxClosure)
		}
		m, err := cacheconfig.ParseManifest(todo[0])
		if err != nil {
			return nil, err
		}
		var more []ocispec.Descriptor
		for _, c := range m.Children {
			if !seen[c.Digest] {
				seen[c.Digest] = true
				closure = append(closure, c)
				if isOneOf(c, m.Manifests) {
					more = append(more, c)
				}
			}
		}
		for _, c := range more {
			b, err := ReadBlob(ctx, src, c)
			if errors.Is(err, iofs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			todo = append(todo, b)
		}
	}
	return closure, nil
}

func isOneOf(d ocispec.Descriptor, all []ocispec.Descriptor) bool {
	for _, other := range all {
		if other.Digest == d.Digest {
			return true
		}
	}
	return false
}

// Kind says what a name stands for.
type Kind string

// The kinds.
const (
	KindCache Kind = "cache" // of BuildKit
	KindImage Kind = "image" // of one platform
	KindIndex Kind = "index" // of images, for instance of several platforms
	KindOther Kind = "other"
)

// kindOf tells the kind from a closure.
func kindOf(closure []ocispec.Descriptor) Kind {
	for _, d := range closure {
		if d.MediaType == cacheconfig.MediaType {
			return KindCache
		}
	}
	switch root := closure[0].MediaType; {
	case strings.Contains(root, "index") || strings.Contains(root, "manifest.list"):
		return KindIndex
	case strings.Contains(root, "manifest"):
		return KindImage
	}
	return KindOther
}

// IsLayer says whether a media type is that of a layer.
func IsLayer(mediaType string) bool {
	return strings.Contains(mediaType, ".layer.") || strings.Contains(mediaType, ".rootfs.")
}
