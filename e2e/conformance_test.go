package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/testsuite"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"

	containerdlabels "github.com/containerd/containerd/v2/pkg/labels"
)

// TestContentStoreConformance holds that a directory of the mount is a content store as containerd's own
// conformance suite has it: BuildKit writes its caches through that store. The plain folder tells a failure
// of ours from one of the suite.
func TestContentStoreConformance(t *testing.T) {
	t.Run("plain folder", func(t *testing.T) {
		testContentStore(t, func() string { return t.TempDir() })
	})
	t.Run("root", func(t *testing.T) {
		t.Parallel() // little but waiting, for a hundred thousand small writes
		h := newHost(t, anyServer(t).config(t))
		testContentStore(t, func() string { return h.mnt })
	})
	t.Run("directory of a name", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, anyServer(t).config(t))
		made := 0
		testContentStore(t, func() string { made++; return h.path("team", fmt.Sprintf("app-%d", made)) })
	})
}

// testContentStore runs containerd's suites, each check in the directory that next returns.
func testContentStore(t *testing.T, next func() string) {
	t.Run("labeled", func(t *testing.T) { testsuite.ContentSuite(t, "fs", labeledIn(next)) })
	t.Run("metadata", func(t *testing.T) { testMetadataStore(t, next) })
}

// testMetadataStore runs what containerd's core/metadata runs.
func testMetadataStore(t *testing.T, next func() string) {
	testsuite.ContentSuite(t, "metadata", metadataIn(next))
	testsuite.ContentCrossNSSharedSuite(t, "metadata", metadataIn(next))
	testsuite.ContentCrossNSIsolatedSuite(t, "metadata", metadataIn(next, metadata.WithPolicyIsolated))
	testsuite.ContentSharedNSIsolatedSuite(t, "metadata", metadataIn(next, metadata.WithPolicyIsolated))
}

// labeledIn is the store of plugins/content/local with labels, as that package tests it.
func labeledIn(next func() string) testsuite.StoreInitFn {
	return func(ctx context.Context, _ string) (context.Context, content.Store, func() error, error) {
		at := next()
		if err := os.MkdirAll(at, 0o755); err != nil {
			return nil, nil, nil, err
		}
		cs, err := local.NewLabeledStore(at, &labels{by: map[digest.Digest]map[string]string{}})
		return ctx, cs, func() error { return emptied(at) }, err
	}
}

// metadataIn is the store of plugins/content/local behind containerd's database, as core/metadata tests it.
func metadataIn(next func() string, opts ...metadata.DBOpt) testsuite.StoreInitFn {
	return func(ctx context.Context, root string) (context.Context, content.Store, func() error, error) {
		at := next()
		if err := os.MkdirAll(at, 0o755); err != nil {
			return nil, nil, nil, err
		}
		cs, err := local.NewStore(at)
		if err != nil {
			return nil, nil, nil, err
		}
		db, err := bolt.Open(filepath.Join(root, "metadata.db"), 0o660, nil)
		if err != nil {
			return nil, nil, nil, err
		}
		ctx = testsuite.SetContextWrapper(ctx, namespacesIn(db, testsuite.Name(ctx)))
		store := metadata.NewDB(db, cs, nil, opts...).ContentStore()
		return ctx, store, func() error { return errors.Join(db.Close(), emptied(at)) }, nil
	}
}

// namespacesIn gives each context a namespace of its own.
func namespacesIn(db *bolt.DB, prefix string) testsuite.ContextWrapper {
	var count atomic.Int64
	return func(ctx context.Context, shared bool) (context.Context, func(context.Context) error, error) {
		name := fmt.Sprintf("%s-n%d", prefix, count.Add(1))
		ctx = namespaces.WithNamespace(ctx, name)
		done := func(context.Context) error { return nil }
		if !shared {
			return ctx, done, nil
		}
		return ctx, done, db.Update(func(tx *bolt.Tx) error {
			return metadata.NewNamespaceStore(tx).SetLabel(ctx, name, containerdlabels.LabelSharedNamespace, "true")
		})
	}
}

// emptied removes what a check left in a store: the next one may write the same.
func emptied(dir string) error {
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	errs := []error{err, os.RemoveAll(filepath.Join(dir, "ingest"))}
	for _, blob := range blobs {
		errs = append(errs, os.Remove(blob))
	}
	return errors.Join(errs...)
}

// labels is a local.LabelStore in memory.
type labels struct {
	mu sync.Mutex // guards following
	by map[digest.Digest]map[string]string
}

func (l *labels) Get(d digest.Digest) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.by[d]), nil
}

func (l *labels) Set(d digest.Digest, all map[string]string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[d] = maps.Clone(all)
	return nil
}

func (l *labels) Update(d digest.Digest, changes map[string]string) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := maps.Clone(l.by[d])
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	l.by[d] = all
	return maps.Clone(all), nil
}
