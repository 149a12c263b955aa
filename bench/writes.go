package main

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/daemon"
)

// writes measures row W, a file written to scratch, and row C, the same as a blob that is uploaded.
func (b *bench) writes(ctx context.Context, s *server) (round, error) {
	x, err := b.newBlob(ctx, s, gib)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, n int) error {
		mount := func() error { return b.writeMount(ctx, s, x) }
		local := func() error { return b.writeLocal(ctx, s, x) }
		return inTurns(n, mount, local)
	}, nil
}

// writeMount writes the file as containerd does, and then makes it a blob.
func (b *bench) writeMount(ctx context.Context, s *server, x blob) error {
	where, err := s.newBucket(ctx, loopback)
	if err != nil {
		return err
	}
	m, err := b.newMount(ctx, csv(where))
	if err != nil {
		return err
	}
	ingest := filepath.Join(m.point(), "ingest", "bench")
	if err := os.MkdirAll(ingest, 0o755); err != nil {
		return err
	}
	data := filepath.Join(ingest, "data")
	if err := x.rehearse(data); err != nil {
		return err
	}
	cpu, err := m.used(ctx, func() error {
		if err := b.timed(key{"W", "scratch", loopback, s.name, layoutfsName}, func() error { return x.write(data) }); err != nil {
			return err
		}
		if err := os.Rename(data, x.in(m.point())); err != nil {
			return err
		}
		return m.await(ctx, "the blob is in the bucket", func(s daemon.Status) bool { return s.Staged.Blobs == 0 && s.Counters.UploadedBytes >= x.size })
	})
	if err != nil {
		return err
	}
	b.samples.add(key{"C", "write and upload", loopback, s.name, layoutfsName}, cpu)
	if err := m.close(ctx); err != nil {
		return err
	}
	return s.drop(where)
}

// writeLocal writes the file beside the cache directory, and uploads it with the SDK.
func (b *bench) writeLocal(ctx context.Context, s *server, x blob) error {
	path := filepath.Join(b.dir, "local")
	if err := x.rehearse(path); err != nil {
		return err
	}
	if err := b.timed(key{"W", "scratch", loopback, s.name, localName}, func() error { return x.write(path) }); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	where, err := s.newBucket(ctx, loopback)
	if err != nil {
		return err
	}
	cpu, err := ownCPU(func() error {
		if err := x.hash(); err != nil {
			return err
		}
		return x.put(ctx, where)
	})
	if err != nil {
		return err
	}
	b.samples.add(key{"C", "write and upload", loopback, s.name, sdkName}, cpu)
	return s.drop(where)
}

// touch measures row T: the first 4 KiB from the middle of a cold blob, over the slow link.
func (b *bench) touch(ctx context.Context, s *server) (round, error) {
	x, err := b.newBlob(ctx, s, gib)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, _ int) error {
		if err := b.touchMount(ctx, s, x); err != nil {
			return err
		}
		return b.touchGET(ctx, s, x)
	}, nil
}

const touched = "4 KiB"

func (b *bench) touchMount(ctx context.Context, s *server, x blob) error {
	m, err := b.newMount(ctx, csv(s.over(x.where, slow)))
	if err != nil {
		return err
	}
	path := x.in(m.point())
	// Who opens a blob has seen it in a manifest, which tells how large it is; here a stat stands for that.
	if _, err := os.Stat(path); err != nil {
		return err
	}
	before := s.links[slow].Received()
	if err := b.timed(key{"T", touched, slow, s.name, layoutfsName}, func() error { return readAt(path, x.size/2) }); err != nil {
		return err
	}
	if err := m.close(ctx); err != nil { // nothing is fetched any more
		return err
	}
	b.samples.add(key{"T", touched + ", bytes", slow, s.name, layoutfsName}, float64(s.links[slow].Received()-before))
	b.samples.add(key{"T", touched + ", bytes", slow, s.name, allowedName}, 8<<20)
	return nil
}

func readAt(path string, off int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(make([]byte, 4<<10), off)
	return err
}

// touchGET is one ranged GET on a connection that was used before.
func (b *bench) touchGET(ctx context.Context, s *server, x blob) error {
	c, err := openBucket(ctx, s.over(x.where, slow))
	if err != nil {
		return err
	}
	get := func() error { return x.getRange(ctx, c, x.size/2, 4<<10, io.Discard) }
	if err := get(); err != nil {
		return err
	}
	return b.timed(key{"T", touched, slow, s.name, getsName}, get)
}

// in is the path of a blob in a layout.
func in(layout string, d digest.Digest) string {
	return filepath.Join(layout, "blobs", d.Algorithm().String(), d.Encoded())
}
