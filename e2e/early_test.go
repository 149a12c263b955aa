package e2e

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// earlySize is that of a blob of three parts.
const earlySize = 40 << 20

// TestLargeLayerOfABuildGoesUpEarly: BuildKit says what it is about to write, so that is sent while it writes.
func TestLargeLayerOfABuildGoesUpEarly(t *testing.T) {
	c := anyServer(t).config(t)
	h := newHost(t, c, "--log-level", "debug")
	dir := contextOf(t, "FROM scratch\nCOPY large /large\n", map[string]int{"large": earlySize})
	newBuilder(t).build(dir, "--export-cache", "type=local,mode=max,compression=uncompressed,dest="+h.path("app"))
	if !strings.Contains(h.log(), "parts of a blob went up while it was written") {
		t.Error("the layer went up when it was written")
	}
	newBuilder(t).build(dir, "--import-cache", "type=local,src="+newHost(t, c).path("app")).wantAllCached(t)
}

// TestKillWhileALargeLayerGoesUp leaves no parts in the bucket, and the client can go on where it was.
func TestKillWhileALargeLayerGoesUp(t *testing.T) {
	c := anyServer(t).config(t)
	client, err := bucket.Open(t.Context(), c, bucket.Options{})
	must(t, err)
	uploads := func() (n int) {
		for _, err := range client.ListUploads(t.Context()) {
			must(t, err)
			n++
		}
		return n
	}
	h := newHost(t, c)
	b := randomBytes(rand.New(rand.NewPCG(1, 1)), earlySize)
	desc := ocispec.Descriptor{Digest: digest.FromBytes(b), Size: earlySize}
	write := func(from, to int) content.Writer {
		t.Helper()
		store, err := local.NewStore(h.path("app"))
		must(t, err)
		w, err := store.Writer(t.Context(), content.WithRef("layer-"+desc.Digest.String()), content.WithDescriptor(desc))
		must(t, err)
		if at, err := w.Status(); err != nil || at.Offset != int64(from) {
			t.Fatalf("it goes on at %d, %v", at.Offset, err)
		}
		_, err = w.Write(b[from:to])
		must(t, err)
		return w
	}
	const some = 33 << 20
	_ = write(0, some) // it is never closed
	eventually(t, "an upload has begun", func() bool { return uploads() == 1 })
	h.kill()
	h.mount()
	eventually(t, "nothing is left of it", func() bool { return uploads() == 0 })
	w := write(some, earlySize)
	must(t, w.Commit(context.Background(), earlySize, desc.Digest))
	h.do("flush", h.mnt)
	r, err := client.OpenBlob(t.Context(), desc.Digest, 0, -1)
	must(t, err)
	defer r.Close()
	got := new(bytes.Buffer)
	_, err = got.ReadFrom(r)
	if must(t, err); !bytes.Equal(got.Bytes(), b) {
		t.Errorf("the bucket has %d other bytes", got.Len())
	}
	if n := uploads(); n != 0 {
		t.Errorf("%d uploads are left behind", n)
	}
}
