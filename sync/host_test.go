package sync

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// host is one machine: a cache directory with an engine on it, which can be restarted.
type host struct {
	*Engine
	t         *testing.T
	bucket    *memBucket
	dir       string
	o         Options
	n         int
	openIndex func(dir string, log *slog.Logger) (*index.Index, error)
	warmed    chan digest.Digest // every blob that became warm
}

func newHost(t *testing.T, b *memBucket, set func(*Options)) *host {
	t.Helper()
	h := &host{t: t, bucket: b, dir: t.TempDir(), openIndex: index.Open, o: Options{
		Blobs: b, Names: b, Refresh: time.Nanosecond, Patience: time.Nanosecond,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}}
	if set != nil {
		set(&h.o)
	}
	h.start()
	t.Cleanup(h.stop)
	return h
}

func (h *host) start() {
	h.t.Helper()
	d, err := disk.Open(h.dir, disk.Options{Log: h.o.Log})
	must(h.t, err)
	x, err := h.openIndex(d.IndexDir(), h.o.Log)
	must(h.t, err)
	h.o.Disk, h.o.Index = d, x
	h.Engine, err = Open(context.Background(), h.o)
	must(h.t, err)
	h.warmed = make(chan digest.Digest, 100)
	h.fetcher.warm = func(d digest.Digest, size int64) {
		h.fetched(d, size)
		h.warmed <- d
	}
}

func (h *host) stop() {
	h.t.Helper()
	if h.Engine == nil {
		return
	}
	must(h.t, h.Close())
	must(h.t, h.o.Index.Close())
	must(h.t, h.o.Disk.Close())
	h.Engine = nil
}

func (h *host) restart() { h.stop(); h.start() }

// write commits a blob as a client does: a scratch file that is renamed.
func (h *host) write(b []byte) (digest.Digest, error) {
	h.t.Helper()
	h.n++
	path := filepath.Join(h.o.Disk.Scratch(), "data"+string(rune('a'+h.n)))
	must(h.t, os.WriteFile(path, b, 0o644))
	d := digest.FromBytes(b)
	return d, h.Commit(h.t.Context(), path, d)
}

func (h *host) mustWrite(b []byte) digest.Digest {
	h.t.Helper()
	d, err := h.write(b)
	must(h.t, err)
	return d
}

// awaitWarm waits until a number of blobs were fetched whole, and returns which.
func (h *host) awaitWarm(n int) map[digest.Digest]bool {
	h.t.Helper()
	ds := map[digest.Digest]bool{}
	for len(ds) < n {
		select {
		case d := <-h.warmed:
			ds[d] = true
		case <-time.After(10 * time.Second):
			h.t.Fatalf("only %d of %d blobs became warm", len(ds), n)
		}
	}
	return ds
}

// read reads a blob whole.
func (h *host) read(d digest.Digest) ([]byte, error) {
	r, err := h.Open(h.t.Context(), d)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // it was only read
	buf := bytes.NewBuffer(make([]byte, 0, r.Size()+bytes.MinRead))
	_, err = io.Copy(buf, &sequential{ctx: h.t.Context(), r: r})
	return buf.Bytes(), err
}

// sequential reads 1 MiB after the other, as an import does.
type sequential struct {
	ctx context.Context
	r   *Reader
	off int64
}

func (s *sequential) Read(p []byte) (int, error) {
	n, err := s.r.ReadAt(s.ctx, p[:min(len(p), 1<<20)], s.off)
	s.off += int64(n)
	return n, err
}

// cache is a BuildKit cache of some layers.
type cache struct {
	layers           [][]byte
	config, manifest []byte
	desc             ocispec.Descriptor
}

func newCache(t *testing.T, layers ...[]byte) cache {
	t.Helper()
	c := cache{layers: layers}
	type layer struct {
		Blob   digest.Digest `json:"blob"`
		Parent int           `json:"parent,omitempty"`
	}
	var conf struct {
		Layers  []layer          `json:"layers"`
		Records []map[string]any `json:"records"`
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for i, b := range layers {
		d := digest.FromBytes(b)
		conf.Layers = append(conf.Layers, layer{d, i - 1})
		conf.Records = append(conf.Records, map[string]any{
			"digest": digest.FromString("record " + string(d)),
			"layers": []any{map[string]any{"layer": i, "createdAt": "2026-01-02T03:04:05Z"}},
		})
		m.Layers = append(m.Layers, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: int64(len(b)),
			Annotations: map[string]string{
				"containerd.io/uncompressed": digest.FromString("diff " + string(d)).String(),
				"buildkit/createdat":         "2026-01-02T03:04:05Z",
			},
		})
	}
	c.config = mustJSON(t, conf)
	m.Config = ocispec.Descriptor{MediaType: cacheconfig.MediaType, Digest: digest.FromBytes(c.config), Size: int64(len(c.config))}
	c.manifest = mustJSON(t, m)
	c.desc = ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(c.manifest), Size: int64(len(c.manifest))}
	return c
}

// export writes a cache as BuildKit does: layers, config, manifest, then index.json under a tag.
func (h *host) export(scope, tag string, c cache) error {
	h.t.Helper()
	for _, b := range append(append([][]byte{}, c.layers...), c.config) {
		if _, err := h.write(b); err != nil {
			return err
		}
	}
	if _, err := h.write(c.manifest); err != nil {
		return err
	}
	return h.tag(scope, tag, c.desc)
}

// tag adds an entry to the index.json of a scope as BuildKit's index writer does.
func (h *host) tag(scope, tag string, d ocispec.Descriptor) error {
	h.t.Helper()
	before, err := h.Index(h.t.Context(), scope)
	if err != nil {
		return err
	}
	var idx ocispec.Index
	must(h.t, json.Unmarshal(before, &idx))
	d.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	idx.Manifests = append(idx.Manifests, d)
	return h.Publish(h.t.Context(), scope, before, mustJSON(h.t, idx))
}

// tags lists what the index.json of a scope shows.
func (h *host) shownTags(scope string) map[string]digest.Digest {
	h.t.Helper()
	b, err := h.Index(h.t.Context(), scope)
	must(h.t, err)
	es, err := parseIndex(b)
	must(h.t, err)
	shown := map[string]digest.Digest{}
	for key, d := range es.by {
		shown[key] = d.Digest
	}
	return shown
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return b
}

// forgive ends an outage without waiting for it to be noticed.
func (h *host) forgive() { h.guard.watch.end() }

// indexName is what is learnt of the name buildkit when the bucket has it with that manifest.
func indexName(d ocispec.Descriptor) index.Name {
	return index.Name{Name: defaultName, Version: index.Version{ETag: "theirs"}, Descriptor: d}
}
