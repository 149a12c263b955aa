package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
)

// synthetic is a cache in the shape of BuildKit's, made without a build.
type synthetic struct {
	layers           [][]byte
	config, manifest []byte
	desc             ocispec.Descriptor
}

// newSynthetic makes a cache of layers: a chain, with a record for each.
func newSynthetic(t testing.TB, layers ...[]byte) synthetic {
	t.Helper()
	c, err := makeSynthetic(layers...)
	must(t, err)
	return c
}

func makeSynthetic(layers ...[]byte) (synthetic, error) {
	type layer struct {
		Blob   digest.Digest `json:"blob"`
		Parent int           `json:"parent"`
	}
	type result struct {
		Layer     int    `json:"layer"`
		CreatedAt string `json:"createdAt"`
	}
	type record struct {
		Digest  digest.Digest `json:"digest"`
		Results []result      `json:"layers"`
	}
	var config struct {
		Layers  []layer  `json:"layers"`
		Records []record `json:"records"`
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for i, b := range layers {
		d := digest.FromBytes(b)
		config.Layers = append(config.Layers, layer{d, i - 1})
		config.Records = append(config.Records, record{digest.FromString("step " + string(d)), []result{{i, "2026-01-02T03:04:05Z"}}})
		m.Layers = append(m.Layers, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(b)),
			Annotations: map[string]string{"containerd.io/uncompressed": d.String(), "buildkit/createdat": "2026-01-02T03:04:05Z"},
		})
	}
	c := synthetic{layers: layers}
	var errs [2]error
	c.config, errs[0] = json.Marshal(config)
	m.Config = describe(cacheconfig.MediaType, c.config)
	c.manifest, errs[1] = json.Marshal(m)
	c.desc = describe(m.MediaType, c.manifest)
	return c, errors.Join(errs[:]...)
}

func describe(mediaType string, b []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
}

// randomBytes are n bytes that do not compress.
func randomBytes(r *rand.Rand, n int) []byte {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(r.Uint32())
	}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

// exportTo writes a cache as BuildKit's client does for type=local: blobs through containerd's content
// store, several at once, then the config, the manifest, and index.json.
func (c synthetic) exportTo(ctx context.Context, dir, tag string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	store, err := local.NewStore(dir)
	if err != nil {
		return err
	}
	runtime.GC() // NewStore leaves a file open that it tried fs-verity on, and the mount would be in use
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, b := range c.layers {
		g.Go(func() error { return writeBlob(gctx, store, describe(ocispec.MediaTypeImageLayer, b), b) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := writeBlob(ctx, store, describe(cacheconfig.MediaType, c.config), c.config); err != nil {
		return err
	}
	if err := writeBlob(ctx, store, c.desc, c.manifest); err != nil {
		return err
	}
	return putIndex(dir, tag, c.desc)
}

func writeBlob(ctx context.Context, store content.Ingester, d ocispec.Descriptor, b []byte) error {
	err := content.WriteBlob(ctx, store, d.Digest.String(), bytes.NewReader(b), d)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// putIndex is what BuildKit's client/ociindex does.
func putIndex(dir, tag string, d ocispec.Descriptor) error {
	return changeIndex(dir, func(b []byte) ([]byte, error) { return inserted(b, tag, d) })
}

func changeIndex(dir string, change func([]byte) ([]byte, error)) error {
	lock, err := os.OpenFile(filepath.Join(dir, "index.json.lock"), os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock index.json: %w", err)
	}
	defer os.Remove(lock.Name())
	if err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "index.json"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close() // whose error nobody reads
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if b, err = change(b); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(b)))
}

// inserted is an index.json with an entry put in, in place of one with its tag.
func inserted(b []byte, tag string, d ocispec.Descriptor) ([]byte, error) {
	var idx ocispec.Index
	if len(b) > 0 {
		if err := json.Unmarshal(b, &idx); err != nil {
			return nil, err
		}
	}
	var kept []ocispec.Descriptor
	for _, m := range idx.Manifests {
		if m.Annotations[ocispec.AnnotationRefName] != tag {
			kept = append(kept, m)
		}
	}
	d.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	idx.Manifests = append(kept, d)
	return json.Marshal(idx)
}

// errNoTag says that an index.json does not have a tag.
var errNoTag = errors.New("no such tag")

// importFrom reads all of a cache, and says which manifest it has.
func importFrom(dir, tag string) (digest.Digest, error) {
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return "", err
	}
	var idx ocispec.Index
	if err := json.Unmarshal(b, &idx); err != nil {
		return "", err
	}
	for _, d := range idx.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] == tag {
			return d.Digest, readAll(dir, d.Digest)
		}
	}
	return "", errNoTag
}

// readAll reads a manifest and what it names. Wrong bytes are an error.
func readAll(dir string, manifest digest.Digest) error {
	b, err := readBlob(dir, manifest)
	if err != nil {
		return err
	}
	m, err := cacheconfig.ParseManifest(b)
	if err != nil {
		return err
	}
	for _, d := range m.Children {
		if _, err := readBlob(dir, d.Digest); err != nil {
			return err
		}
	}
	return nil
}

func readBlob(dir string, d digest.Digest) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(dir, "blobs", d.Algorithm().String(), d.Encoded()))
	if err == nil && digest.FromBytes(b) != d {
		err = fmt.Errorf("%w: %s was read and is %s", errWrongBytes, d, digest.FromBytes(b))
	}
	return b, err
}

// errWrongBytes is what must never happen.
var errWrongBytes = errors.New("wrong bytes")
