package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/daemon"
)

// large measures row M: memory at rest, and while a large blob goes up and comes down.
func (b *bench) large(ctx context.Context, s *server) (round, error) {
	return func(ctx context.Context, _ int) error {
		where, err := s.newBucket(ctx, loopback)
		if err != nil {
			return err
		}
		m, err := b.newMount(ctx, csv(where))
		if err != nil {
			return err
		}
		if err := b.peak(ctx, s, m, "idle", 40<<20); err != nil {
			return err
		}
		d, err := b.putLarge(ctx, m)
		if err != nil {
			return err
		}
		if err := b.peak(ctx, s, m, "large blob", 200<<20); err != nil {
			return err
		}
		if err := m.renew(ctx); err != nil {
			return err
		}
		if err := (blob{size: b.huge << 30}).read(in(m.point(), d)); err != nil {
			return err
		}
		if err := b.peak(ctx, s, m, "large blob", 200<<20); err != nil {
			return err
		}
		if err := m.close(ctx); err != nil {
			return err
		}
		return s.drop(where)
	}, nil
}

func (b *bench) putLarge(ctx context.Context, m *mount) (digest.Digest, error) {
	ingest := filepath.Join(m.point(), "ingest", "large")
	if err := os.MkdirAll(ingest, 0o755); err != nil {
		return "", err
	}
	data := filepath.Join(ingest, "data")
	d, err := random(data, b.huge<<30)
	if err != nil {
		return "", err
	}
	if err := os.Rename(data, in(m.point(), d)); err != nil {
		return "", err
	}
	return d, m.await(ctx, "the large blob is in the bucket", func(s daemon.Status) bool {
		return s.Staged.Blobs == 0 && s.Counters.UploadedBytes >= b.huge<<30
	})
}

func (b *bench) peak(ctx context.Context, s *server, m *mount, work string, allowed float64) error {
	return b.memory(ctx, m, key{"M", work, loopback, s.name, layoutfsName}, allowed)
}

// memory notes what the daemon has taken, and the process of its index.
func (b *bench) memory(ctx context.Context, m *mount, k key, allowed float64) error {
	peaks, err := m.peaks(ctx)
	b.samples.add(k, peaks[0])
	k.Contender = allowedName
	b.samples.add(k, allowed)
	k.Contender = indexName
	b.samples.add(k, peaks[1])
	return err
}
