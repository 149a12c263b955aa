package fs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// publication is one call of Publish.
type publication struct{ scope, before, after string }

// fakeNames keeps an index.json for each scope.
type fakeNames struct {
	mu        sync.Mutex // guards following
	index     map[string]string
	published []publication
	deletes   bool
	fail      error // of Publish
	failRead  error // of Index and Children
	onPublish func()
	asked     int // calls of Children
}

func newFakeNames() *fakeNames { return &fakeNames{index: map[string]string{}} }

func indexOf(tags ...string) string {
	idx := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	idx.SchemaVersion = 2
	for _, tag := range tags {
		idx.Manifests = append(idx.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(tag), Size: int64(len(tag)),
			Annotations: map[string]string{ocispec.AnnotationRefName: tag},
		})
	}
	b, err := json.Marshal(idx)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (n *fakeNames) set(scope, index string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.index[scope] = index
}

func (n *fakeNames) remove(scope string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.index, scope)
}

func (n *fakeNames) failWith(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail = err
}

func (n *fakeNames) failReading(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failRead = err
}

func (n *fakeNames) whenPublishing(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onPublish = f
}

func (n *fakeNames) allowDelete() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deletes = true
}

func (n *fakeNames) publications() []publication {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.published)
}

func (n *fakeNames) Index(_ context.Context, scope string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failRead != nil {
		return nil, n.failRead
	}
	index, ok := n.index[scope]
	if !ok {
		return nil, iofs.ErrNotExist
	}
	return []byte(index), nil
}

func (n *fakeNames) Publish(ctx context.Context, scope string, before, after []byte) error {
	n.mu.Lock()
	hook := n.onPublish
	n.mu.Unlock()
	if hook != nil {
		hook()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := errors.Join(ctx.Err(), n.fail); err != nil {
		return err
	}
	var idx ocispec.Index
	if err := json.Unmarshal(after, &idx); err != nil {
		return err
	}
	n.published = append(n.published, publication{scope, string(before), string(after)})
	n.index[scope] = string(bytes.Clone(after))
	return nil
}

func (n *fakeNames) Children(_ context.Context, scope string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.failRead != nil {
		return nil, n.failRead
	}
	return n.children(scope), nil
}

func (n *fakeNames) children(scope string) []string {
	seen := map[string]bool{}
	for name := range n.index {
		rest, ok := strings.CutPrefix(path.Join("/", name), path.Join("/", scope))
		if first, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/"); ok && first != "" && (scope == "" || strings.HasPrefix(rest, "/")) {
			seen[first] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func (n *fakeNames) Exists(_ context.Context, scope string) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failRead != nil {
		return false, n.failRead
	}
	above, name := path.Split(scope)
	return slices.Contains(n.children(strings.TrimSuffix(above, "/")), name), nil
}

func (n *fakeNames) Delete(_ context.Context, scope string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.deletes {
		return fmt.Errorf("delete %s: %w", scope, iofs.ErrPermission)
	}
	delete(n.index, scope)
	return nil
}

var _ Names = (*fakeNames)(nil)
