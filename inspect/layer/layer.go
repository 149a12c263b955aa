package layer

import (
	"context"
	"errors"
	"io"
	iofs "io/fs"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Layer is a layer that can be read.
type Layer struct {
	Digest digest.Digest
	Size   int64 // of the blob, in bytes
	// Annotations are those of its descriptor; the digest of its table of contents may be among them.
	Annotations map[string]string
	// Open reads n bytes of the blob from off on; n < 0 means to its end.
	Open func(ctx context.Context, off, n int64) (io.ReadCloser, error)
}

// Compression says how the layer is compressed, from some of its bytes.
func (l *Layer) Compression(ctx context.Context) (Compression, error) {
	t, err := l.findTOC(ctx)
	if err != nil {
		return "", l.failed(err)
	}
	if t != nil {
		return t.compression, nil
	}
	r, err := l.Open(ctx, 0, min(l.Size, 4))
	if err != nil {
		return "", l.failed(err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return "", l.failed(err)
	}
	return Sniff(b), nil
}

// Entry is a file in a layer, or a mark that takes one of the layers below away.
type Entry struct {
	Path    string // clean and relative, such as usr/bin/env; the root is "."
	Mode    iofs.FileMode
	UID     int
	GID     int
	Size    int64 // of a regular file, in bytes
	ModTime time.Time
	Link    string        // target of a symbolic link as it is; of a hard link a path like Path
	Hard    bool          // it is a hard link to Link
	Digest  digest.Digest // of a regular file's content, if it was asked for or is known
	Hides   Hides
	Layer   int // of Merge: which of its layers it is in
}

// Hides is what an entry takes away of the layers below its own.
type Hides uint8

// What a mark can take away. A mark is no file: its Path is that of what goes.
const (
	Nothing  Hides = iota
	Itself         // the path, and what is below it (.wh.NAME)
	Contents       // all that is in the folder (.wh..wh..opq)
)

// The names of marks, https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts. Others that
// begin so are of aufs itself.
const (
	whiteout   = ".wh."
	opaque     = ".wh..wh..opq"
	aufsPrefix = ".wh..wh."
)

// notFiles are what estargz puts into the archive for itself.
var notFiles = map[string]bool{
	tocName: true, ".prefetch.landmark": true, ".no.prefetch.landmark": true,
}

// place makes a clean path of a name of the archive, and says what it marks; ok is false for what is no file.
func place(name string) (p string, hides Hides, ok bool) {
	p = relative(name)
	dir, base := path.Split(p)
	switch {
	case notFiles[p]:
		return "", Nothing, false
	case base == opaque:
		return relative(dir), Contents, true
	case strings.HasPrefix(base, aufsPrefix):
		return "", Nothing, false
	case strings.HasPrefix(base, whiteout) && base != whiteout:
		return dir + strings.TrimPrefix(base, whiteout), Itself, true
	}
	return p, Nothing, true
}

// relative is a path inside the root, whatever is in front of it.
func relative(name string) string {
	p := strings.TrimPrefix(path.Clean("/"+name), "/")
	if p == "" {
		return "."
	}
	return p
}
