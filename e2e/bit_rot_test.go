package e2e

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// TestBitRot: a bit of a warm blob turns over. `layoutfs verify` finds it, and with --repair the copy is dropped
// and fetched anew.
func TestBitRot(t *testing.T) {
	config := anyServer(t).config(t)
	h := newHost(t, config)
	c := newSynthetic(t, randomBytes(rand.New(rand.NewPCG(1, 1)), 100_000))
	must(t, c.exportTo(t.Context(), h.path("app"), "latest"))
	layer := describe("", c.layers[0]).Digest
	h.rot(layer)
	if out, err := h.try("verify", "--layout", h.mnt); err == nil || !strings.Contains(out, layer.String()) {
		t.Errorf("verify does not find it: %v\n%s", err, out)
	}
	if out, err := h.try("verify", "--repair", "--layout", h.mnt); err != nil {
		t.Errorf("verify --repair: %v\n%s", err, out)
	}
	if _, err := importFrom(h.path("app"), "latest"); err != nil {
		t.Error(err)
	}
	h.do("verify", "--layout", h.mnt)
}

// TestBitRotIsFoundByReads: with --verify-reads who opens the blob gets right bytes, whether or not the daemon was
// started since, others have the blob open or mapped, and the kernel reads it itself; without the bucket EIO.
func TestBitRotIsFoundByReads(t *testing.T) {
	config := anyServer(t).config(t)
	h := newHost(t, config, "--verify-reads")
	c := newSynthetic(t, randomBytes(rand.New(rand.NewPCG(1, 1)), 3<<20))
	must(t, c.exportTo(t.Context(), h.path("app"), "latest"))
	layer := describe("", c.layers[0]).Digest
	for range 3 { // it is written, fetched, and fetched again
		h.rot(layer)
		h.wantRight(c.layers[0])
	}
	held, mapped := h.hold(layer)
	h.rot(layer)
	h.wantRight(c.layers[0])
	must(t, errors.Join(unix.Munmap(mapped), held.Close()))
	if n := h.status().Counters.Mismatches; n != 4 {
		t.Errorf("%d blobs were found wrong, want 4", n)
	}
	h.umount()
	h.rot(layer)
	h.mount()
	h.wantRight(c.layers[0])
	h.umount()
	h.rot(layer)
	h.flags = append(h.flags, "--offline")
	h.mount()
	for range 2 {
		if b, err := os.ReadFile(h.path("blobs", "sha256", layer.Encoded())); !errors.Is(err, syscall.EIO) {
			t.Errorf("read of a wrong copy without the bucket: %d bytes, %v", len(b), err)
		}
	}
}

// rot turns a bit over in the warm copy of a blob, which is awaited: a download comes to its place in the background.
func (h *host) rot(d digest.Digest) {
	h.t.Helper()
	path := filepath.Join(h.cache, "blobs", "sha256", d.Encoded())
	eventually(h.t, "the blob is in its place", func() bool { _, err := os.Stat(path); return err == nil })
	damage(h.t, path, func(b []byte) []byte { b[50_000] ^= 1; return b })
}

// hold opens and maps a blob, and reads it so.
func (h *host) hold(d digest.Digest) (*os.File, []byte) {
	h.t.Helper()
	f, err := os.Open(h.path("blobs", "sha256", d.Encoded()))
	must(h.t, err)
	info, err := f.Stat()
	must(h.t, err)
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	must(h.t, err)
	if digest.FromBytes(b) != d {
		h.t.Error("wrong bytes are mapped")
	}
	_, err = io.Copy(io.Discard, f)
	must(h.t, err)
	return f, b
}

// wantRight wants a blob to be right, read and mapped.
func (h *host) wantRight(content []byte) {
	h.t.Helper()
	f, mapped := h.hold(digest.FromBytes(content))
	got := make([]byte, len(content))
	_, err := f.ReadAt(got, 0)
	must(h.t, errors.Join(err, unix.Munmap(mapped), f.Close()))
	if !bytes.Equal(got, content) {
		h.t.Error("wrong bytes are read")
	}
}
