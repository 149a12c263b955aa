package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
)

// makeImages makes images with those tags in a plain folder: v1 and v2, which share a layer, arm, and multi,
// an index of two platforms. The times in them are fixed, so that a client that copies or changes them does
// the same each time.
const makeImages = `
mkdir -p etc && echo hello > etc/motd && head -c 300000 /dev/urandom > data
umoci init --layout "$LAYOUT"
umoci new --image "$LAYOUT:v1"
umoci insert --image "$LAYOUT:v1" $HISTORY etc /etc
umoci config --image "$LAYOUT:v1" $HISTORY --created "$TIME" --architecture amd64 --config.cmd /bin/sh
umoci tag --image "$LAYOUT:v1" v2
umoci insert --image "$LAYOUT:v2" $HISTORY data /data
umoci config --image "$LAYOUT:v2" $HISTORY --created "$TIME"
umoci config --image "$LAYOUT:v1" --tag arm $HISTORY --created "$TIME" --architecture arm64
umoci gc --layout "$LAYOUT"
regctl index create "ocidir://$LAYOUT:multi" --ref "ocidir://$LAYOUT:v1" --ref "ocidir://$LAYOUT:arm"
`

// newImages is a folder with the images of makeImages, whose data no other test has.
func newImages(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "images")
	script(t, makeImages, "LAYOUT="+dir)
	return dir
}

// script runs a shell script with the tools at hand, in an empty folder, and returns what it prints to its
// standard output.
func script(t testing.TB, text string, env ...string) string {
	t.Helper()
	const at = "2024-01-01T00:00:00Z"
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", text)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"), "TIME="+at, "HISTORY=--history.created "+at)
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\nof the script:\n%s", err, stderr.String(), text)
	}
	return string(out)
}

// layout is what matters of an image layout.
type layout struct {
	Entries []string                // of index.json, sorted
	Blobs   map[digest.Digest]int64 // that they reach, with their sizes
}

// readLayout reads a layout, and proves each blob that its index.json reaches.
func readLayout(t testing.TB, dir string) layout {
	t.Helper()
	l := layout{Blobs: map[digest.Digest]int64{}}
	for _, d := range entriesOf(t, dir) {
		l.walk(t, dir, d)
		delete(d.Annotations, ocispec.AnnotationCreated) // when a client wrote the entry
		b, err := json.Marshal(d)
		must(t, err)
		l.Entries = append(l.Entries, string(b))
	}
	slices.Sort(l.Entries)
	return l
}

// entriesOf reads the index.json of a layout.
func entriesOf(t testing.TB, dir string) []ocispec.Descriptor {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	must(t, err)
	var index ocispec.Index
	must(t, json.Unmarshal(b, &index))
	return index.Manifests
}

func (l layout) walk(t testing.TB, dir string, d ocispec.Descriptor) {
	t.Helper()
	if _, ok := l.Blobs[d.Digest]; ok {
		return
	}
	b, err := os.ReadFile(filepath.Join(dir, ocispec.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded()))
	must(t, err)
	if got := digest.FromBytes(b); got != d.Digest || int64(len(b)) != d.Size {
		t.Fatalf("%s of %d bytes is %s of %d bytes in %s", d.Digest, d.Size, got, len(b), dir)
	}
	l.Blobs[d.Digest] = d.Size
	if !cacheconfig.IsManifest(b) {
		return
	}
	m, err := cacheconfig.ParseManifest(b)
	must(t, err)
	for _, child := range m.Children {
		l.walk(t, dir, child)
	}
}

// seenIn is what must be the same in a directory as in a plain folder. Where other layouts have the platforms of an
// index already, a client does not write their manifests, and adds no entries without a tag for them.
func (l layout) seenIn(dir string) layout {
	if dir != "" {
		l.Entries = slices.DeleteFunc(slices.Clone(l.Entries), func(e string) bool {
			return !strings.Contains(e, ocispec.AnnotationRefName)
		})
	}
	return l
}

// TestLayoutIsCopiedInAnyOrder copies a layout to new directories as tools do that have an order of their own:
// rsync takes the files of a directory before the directories in it.
func TestLayoutIsCopiedInAnyOrder(t *testing.T) {
	images, c := newImages(t), anyServer(t).config(t)
	h, other := newHost(t, c), newHost(t, c, "--refresh", "10ms")
	want := readLayout(t, images)
	for name, files := range map[string]string{
		"index-first": `ls -d index.json oci-layout blobs/sha256/*`,
		"index-amid":  `ls -d blobs/sha256/[0-7]* index.json blobs/sha256/[89a-f]*`,
		"index-last":  `ls -dr blobs/sha256/*; ls -d oci-layout index.json`,
	} {
		script(t, `cd "$IMAGES"; mkdir -p "$LAYOUT/blobs/sha256"; for f in $(`+files+`); do cp "$f" "$LAYOUT/.tmp" && mv "$LAYOUT/.tmp" "$LAYOUT/$f"; done`,
			"IMAGES="+images, "LAYOUT="+h.path(name))
		h.do("flush", h.mnt)
		for _, h := range []*host{h, other} {
			if diff := cmp.Diff(want, readLayout(t, h.path(name))); diff != "" {
				t.Errorf("%s (-images +mount):\n%s", name, diff)
			}
		}
	}
}

// TestImageOfABuild has BuildKit export an image as a layout, and its cache, to one directory.
func TestImageOfABuild(t *testing.T) {
	c, dir, plain := anyServer(t).config(t), newContext(t), filepath.Join(t.TempDir(), "plain")
	b, h := newBuilder(t), newHost(t, c)
	output := func(dest string) string {
		return "type=oci,tar=false,rewrite-timestamp=true,\"name=docker.io/library/app:v1,docker.io/library/app:v2\",dest=" + dest
	}
	b.build(dir, "--opt", "build-arg:SOURCE_DATE_EPOCH=1700000000", "--output", output(plain))
	b.build(dir, "--opt", "build-arg:SOURCE_DATE_EPOCH=1700000000", "--output", output(h.path("image")),
		"--export-cache", "type=local,mode=max,dest="+h.path("image"))

	other := newHost(t, c)
	want, got := readLayout(t, plain), readLayout(t, other.path("image"))
	got.Entries = slices.DeleteFunc(got.Entries, func(e string) bool { return !strings.Contains(e, "io.containerd.image.name") })
	if diff := cmp.Diff(want.Entries, got.Entries); diff != "" {
		t.Errorf("another host sees (-plain folder +mount):\n%s", diff)
	}
	for d, size := range want.Blobs {
		if got.Blobs[d] != size {
			t.Errorf("blob %s has %d bytes, want %d", d, got.Blobs[d], size)
		}
	}
	run(t, tool(t, "skopeo"), "inspect", "oci:"+other.path("image")+":v2")
	b.forget()
	b.build(dir, "--import-cache", "type=local,src="+other.path("image")).wantAllCached(t)
}
