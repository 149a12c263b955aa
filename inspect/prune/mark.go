package prune

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/source"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// key is a digest in 32 bytes.
type key [32]byte

// keyOf makes a key. Of digests that are not SHA-256 the hash of their text is the key.
func keyOf(d digest.Digest) (k key) {
	if d.Algorithm() != digest.SHA256 {
		d = digest.FromString(d.String())
	}
	_, _ = hex.Decode(k[:], []byte(d.Encoded())) // it was validated by whoever made the digest
	return k
}

// known is a name as it was read.
type known struct {
	name    string
	version bucket.Version
	blobs   []int32 // numbers in the marks
	gone    bool    // it was deleted by this run
}

// marks are the names of the bucket and what they reach.
type marks struct {
	src   *source.Bucket
	b     Bucket
	names map[string]*known
	at    map[key]int32
	size  []int64
	users []int32 // how many names reach it
}

func newMarks(b Bucket) *marks {
	return &marks{src: source.NewBucket(b), b: b, names: map[string]*known{}, at: map[key]int32{}}
}

// reached says whether any name reaches a blob.
func (m *marks) reached(d digest.Digest) bool {
	n, ok := m.at[keyOf(d)]
	return ok && m.users[n] > 0
}

// readers is how many names are read at once.
const readers = 16

// read is a name with what it reaches; of one that cannot be read, no more than its manifest is known.
type read struct {
	entry   bucket.NameEntry
	closure []ocispec.Descriptor
	err     error
}

// unreadableError says that a name cannot be read, and that it is therefore not known what it needs.
type unreadableError struct {
	name string
	err  error
}

func (e *unreadableError) Error() string {
	return fmt.Sprintf("it is not known what name %q needs: %v; export it again, or delete it with `layoutfs rm`", e.name, e.err)
}

func (e *unreadableError) Unwrap() error { return e.err }

// refresh lists the names, and reads those that are new or were changed since. It says which these are, also
// with an unreadableError.
func (m *marks) refresh(ctx context.Context) (changed []string, err error) {
	listed := map[string]bool{}
	var todo []bucket.NameEntry
	for e, err := range m.b.ListNames(ctx, "") {
		if err != nil {
			return nil, err
		}
		if old, ok := m.names[e.Name]; !listed[e.Name] && (!ok || old.version != e.Version) {
			todo = append(todo, e)
		}
		listed[e.Name] = true
	}
	for name, n := range m.names {
		if !listed[name] {
			m.unmark(n)
			delete(m.names, name)
		}
	}
	return m.readAll(ctx, todo)
}

// readAll reads names, several at a time, and marks what they reach.
func (m *marks) readAll(ctx context.Context, todo []bucket.NameEntry) (changed []string, err error) {
	found := make(chan read)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(readers + 1)
	group.Go(func() error {
		inner, ictx := errgroup.WithContext(gctx)
		inner.SetLimit(readers)
		for _, e := range todo {
			inner.Go(func() error { return m.read(ictx, e, found) })
		}
		defer close(found)
		return inner.Wait()
	})
	var unreadable []error
	for r := range found {
		m.mark(r)
		changed = append(changed, r.entry.Name)
		if r.err != nil {
			unreadable = append(unreadable, &unreadableError{r.entry.Name, r.err})
		}
	}
	return changed, errors.Join(append(unreadable, group.Wait())...)
}

func (m *marks) read(ctx context.Context, e bucket.NameEntry, found chan<- read) error {
	n, err := m.src.Name(ctx, e.Name)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil // gone meanwhile
	}
	r := read{entry: e, err: err}
	if err == nil {
		r.closure, r.err = inspect.Closure(ctx, m.src, n)
	}
	if r.err != nil && n.Descriptor.Digest != "" {
		r.closure = []ocispec.Descriptor{n.Descriptor}
	}
	select {
	case found <- r:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *marks) mark(r read) {
	if old, ok := m.names[r.entry.Name]; ok {
		m.unmark(old)
	}
	n := &known{name: r.entry.Name}
	if r.err == nil { // else the next refresh reads it again, written anew or not
		n.version = r.entry.Version
	}
	for _, d := range r.closure {
		k := keyOf(d.Digest)
		at, ok := m.at[k]
		if !ok {
			at = int32(len(m.size))
			m.at[k] = at
			m.size = append(m.size, d.Size)
			m.users = append(m.users, 0)
		}
		m.users[at]++
		n.blobs = append(n.blobs, at)
	}
	m.names[n.name] = n
}

func (m *marks) unmark(n *known) {
	if n.gone {
		return
	}
	n.gone = true
	for _, at := range n.blobs {
		m.users[at]--
	}
}

// unique is how many bytes a name alone reaches.
func (m *marks) unique(n *known) (bytes int64) {
	for _, at := range n.blobs {
		if m.users[at] == 1 {
			bytes += m.size[at]
		}
	}
	return bytes
}

// total is how many bytes all names reach.
func (m *marks) total() (bytes int64) {
	for at, users := range m.users {
		if users > 0 {
			bytes += m.size[at]
		}
	}
	return bytes
}
