package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// small measures row S: imports that need nothing of W, or one small layer.
func (b *bench) small(ctx context.Context, s *server) (round, error) {
	w, exporter, err := b.built(ctx, newW)
	if err != nil {
		return nil, err
	}
	m := &smallImports{bench: b, server: s, work: w}
	if m.where, err = s.newBucket(ctx, loopback); err != nil {
		return nil, err
	}
	if m.folder, err = openPlain(ctx, b, m.where); err != nil {
		return nil, err
	}
	return m.round, exporter.build(ctx, w.dir, "--export-cache", "type=s3,"+csv(m.where)+attributes,
		"--export-cache", m.folder.cacheTo()+attributes)
}

type smallImports struct {
	bench  *bench
	server *server
	work   workload
	where  bucket.Config
	folder place
}

func (m *smallImports) round(ctx context.Context, n int) error {
	for what, later := range map[string]string{"nothing": "first", "one layer": strconv.Itoa(n)} {
		if err := m.work.change("later", later); err != nil {
			return err
		}
		if _, err := m.imported(ctx, m.key(what, plainName), m.folder); err != nil {
			return err
		}
		if err := m.mount(ctx, what); err != nil {
			return err
		}
	}
	return m.work.change("later", "first")
}

func (m *smallImports) mount(ctx context.Context, what string) error {
	host, err := m.bench.newMount(ctx, csv(m.where))
	if err != nil {
		return err
	}
	pulled, err := m.imported(ctx, m.key(what, layoutfsName), host)
	if err != nil {
		return err
	}
	s, err := host.status(ctx)
	if err != nil {
		return err
	}
	m.bench.samples.add(m.key(what+", bytes", layoutfsName), float64(s.Counters.FetchedBytes))
	m.bench.samples.add(m.key(what+", bytes", allowedName), pulled+max(pulled/10, 32<<20))
	return host.close(ctx)
}

// imported tells how many bytes the builder has then.
func (m *smallImports) imported(ctx context.Context, k key, p place) (float64, error) {
	w, err := m.bench.newBuilder(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = w.stop() }() // what it has is not used again
	err = m.bench.timed(k, func() error { return w.build(ctx, m.work.dir, "--import-cache", p.cacheFrom()) })
	if err != nil {
		return 0, err
	}
	n, err := w.pulled()
	if n >= m.work.bytes {
		err = fmt.Errorf("the builder has %d bytes: that is not a small import", n)
	}
	return float64(n), err
}

func (m *smallImports) key(work, contender string) key {
	return key{"S", work, loopback, m.server.name, contender}
}
