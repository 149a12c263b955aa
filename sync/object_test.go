package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// TestLargeNamesAreReadOneAtATime, until what was read of one is not used any more, and small ones beside them: the
// memory that an attacker's names take is bounded.
func TestLargeNamesAreReadOneAtATime(t *testing.T) {
	b := newMemBucket()
	one := newHost(t, b, nil)
	must(t, one.export("", "small", newCache(t, random(10, 1))))
	small, _ := b.name("small")
	large := append(bytes.Clone(small.Body), bytes.Repeat([]byte(" "), smallName)...)
	for i := range 3 {
		must(t, b.PutName(t.Context(), fmt.Sprint("large-", i), large, nil))
	}
	h := newHost(t, b, nil)
	if shown := h.shownTags(""); len(shown) != 4 {
		t.Errorf("the names %v are shown", shown)
	}
	read := func(ctx context.Context, name string) (func(), error) {
		obj, release, err := h.object(ctx, name)
		if err == nil && int64(len(obj.Body)) != obj.Version.Size {
			t.Errorf("%d bytes of %q were read", len(obj.Body), name)
		}
		return release, err
	}
	release, err := read(t.Context(), "large-0")
	must(t, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel() // who would wait gives up
	if _, err := read(gone, "large-1"); !errors.Is(err, context.Canceled) {
		t.Errorf("another large name beside one: %v", err)
	}
	end, err := read(t.Context(), "small")
	must(t, err)
	end()
	release()
	release, err = read(t.Context(), "large-1")
	must(t, err)
	release()
	b.failing(down)
	if _, err := read(t.Context(), "large-2"); !errors.Is(err, bucket.ErrUnreachable) {
		t.Errorf("without a bucket: %v", err)
	}
	b.failing(nil)
	if n := len(h.objects.small) + len(h.objects.large); n > 0 {
		t.Errorf("%d places are taken and nobody reads", n)
	}
}

// TestLargeManifestsAreReadOneAtATime bounds the memory that an attacker's manifests take, and those that they name.
func TestLargeManifestsAreReadOneAtATime(t *testing.T) {
	b := newMemBucket()
	c := newCache(t, random(10, 1))
	large := append(bytes.Clone(c.manifest), bytes.Repeat([]byte(" "), smallName)...)
	c.desc.Digest, c.desc.Size = b.put(large), int64(len(large))
	b.put(c.config)
	b.put(c.layers[0])
	must(t, b.PutName(t.Context(), "large", []byte("{}"), &c.desc))
	h := newHost(t, b, nil)
	release, err := h.objects.alone(t.Context(), c.desc.Size)
	must(t, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel() // who would wait gives up
	if _, _, err := h.Engine.read(gone, c.desc); !errors.Is(err, context.Canceled) {
		t.Errorf("another large manifest beside one: %v", err)
	}
	release()
	if shown := h.shownTags(""); shown["large"] != c.desc.Digest {
		t.Errorf("the names %v are shown", shown)
	}
	lie := c.desc
	lie.Size = 10
	if _, _, err := h.Engine.read(t.Context(), lie); err == nil || !strings.Contains(err.Error(), "its descriptor says 10") {
		t.Errorf("a large one that says it is small: %v", err)
	}
	child := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: maxChild + 1}
	if _, _, err := h.readFirst(t.Context(), []ocispec.Descriptor{child}); err == nil || !strings.Contains(err.Error(), "are the most") {
		t.Errorf("a large child: %v", err)
	}
	release, err = h.objects.alone(t.Context(), c.desc.Size) // waits for what is read ahead
	must(t, err)
	release()
}
