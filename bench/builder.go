package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// builder is a BuildKit with runc.
type builder struct {
	process  *process
	dir      string
	addr     string
	buildctl string
}

// newBuilder starts a BuildKit with nothing in its cache: a new machine.
func (b *bench) newBuilder(ctx context.Context) (*builder, error) {
	dir, err := b.folder("buildkitd")
	if err != nil {
		return nil, err
	}
	w := &builder{dir: dir, addr: "unix://" + filepath.Join(dir, "sock"), buildctl: b.tool("buildctl")}
	w.process, err = start(dir, nil, b.tool("buildkitd"), "--root", filepath.Join(dir, "root"), "--addr", w.addr,
		"--oci-worker=true", "--oci-worker-gc=false", "--containerd-worker=false", "--config", "/dev/null")
	if err != nil {
		return nil, err
	}
	return w, w.process.await(func() bool {
		_, err := run(ctx, nil, w.buildctl, "--addr", w.addr, "debug", "workers")
		return err == nil
	})
}

// build builds a folder; args are further arguments of buildctl.
func (w *builder) build(ctx context.Context, dir string, args ...string) error {
	_, err := run(ctx, nil, w.buildctl, append([]string{
		"--addr", w.addr, "build", "--frontend", "dockerfile.v0", "--progress", "plain",
		"--local", "context=" + dir, "--local", "dockerfile=" + dir,
	}, args...)...)
	return err
}

// pulled is how many bytes of blobs the builder has.
func (w *builder) pulled() (n int64, err error) {
	found, err := filepath.Glob(filepath.Join(w.dir, "root", "*", "content", "blobs"))
	if err != nil || len(found) != 1 {
		return 0, fmt.Errorf("the builder's blobs in %s: %v %w", w.dir, found, err)
	}
	return sizeOf(found[0])
}

// sizeOf is what the files of a folder hold.
func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// stop ends the builder and frees its disk.
func (w *builder) stop() error {
	w.process.stop()
	return os.RemoveAll(w.dir)
}
