package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// client is a program that writes and reads a layout as BuildKit does:
//
//	client export DIR TAG TEXT   an image whose only layer is TEXT; prints the digests of layer and manifest
//	client import DIR TAG        prints the layer
func client() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 4 && args[0] == "export":
		err = layout(args[1]).export(args[2], []byte(args[3]))
	case len(args) == 3 && args[0] == "import":
		err = layout(args[1]).read(args[2])
	default:
		err = fmt.Errorf("what is %q?", args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// layout is the path of an OCI image layout.
type layout string

func (l layout) path(elem ...string) string {
	return filepath.Join(append([]string{string(l)}, elem...)...)
}

func (l layout) blob(d digest.Digest) string {
	return l.path("blobs", d.Algorithm().String(), d.Encoded())
}

func (l layout) export(tag string, text []byte) error {
	layer, err := l.add(ocispec.MediaTypeImageLayer, text)
	if err != nil {
		return err
	}
	config, err := l.add(ocispec.MediaTypeImageConfig, []byte("{}"))
	if err != nil {
		return err
	}
	b, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	})
	if err != nil {
		return err
	}
	manifest, err := l.add(ocispec.MediaTypeImageManifest, b)
	if err != nil {
		return err
	}
	fmt.Printf("layer %s\nmanifest %s\n", layer.Digest, manifest.Digest)
	manifest.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	return l.tag(tag, manifest)
}

// add writes a blob unless it is seen there: into a file of its own, which is then renamed. As in containerd,
// a stat that fails otherwise is no matter.
func (l layout) add(mediaType string, b []byte) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	if _, err := os.Stat(l.blob(d.Digest)); err == nil {
		return d, nil
	}
	dir := l.path("ingest", d.Digest.Encoded())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return d, err
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, b, 0o644); err != nil {
		return d, err
	}
	return d, os.Rename(data, l.blob(d.Digest))
}

// tag rewrites index.json in its place, under a lock that is not waited for.
func (l layout) tag(tag string, d ocispec.Descriptor) error {
	lock, err := os.OpenFile(l.path("index.json.lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path("index.json"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	var index ocispec.Index
	if err := json.NewDecoder(f).Decode(&index); err != nil {
		return err
	}
	kept := index.Manifests[:0]
	for _, m := range index.Manifests {
		if m.Annotations[ocispec.AnnotationRefName] != tag {
			kept = append(kept, m)
		}
	}
	index.Manifests = append(kept, d)
	b, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(b)))
}

func (l layout) read(tag string) error {
	var index ocispec.Index
	if err := l.decode(l.path("index.json"), &index); err != nil {
		return err
	}
	for _, d := range index.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] != tag {
			continue
		}
		var manifest ocispec.Manifest
		if err := l.decode(l.blob(d.Digest), &manifest); err != nil {
			return err
		}
		return l.print(manifest.Layers[0].Digest)
	}
	return fmt.Errorf("no tag %s in %s", tag, l)
}

func (l layout) decode(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

func (l layout) print(d digest.Digest) error {
	f, err := os.Open(l.blob(d))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(os.Stdout, f)
	return err
}
