package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// caches measures exports and imports of one workload over one link.
type caches struct {
	bench      *bench
	server     *server
	work       workload
	exporter   *builder // has built the workload
	link       string
	contenders []contender
}

// attributes go with each export. The first one makes the blobs, so that they need no force-compression, which
// costs a second to find that nothing has to be done.
const attributes = ",mode=max,compression=uncompressed"

// built builds a workload and makes its blobs, so that an export moves them and does nothing else. What was built
// before is not built again.
func (b *bench) built(ctx context.Context, what func() workload) (workload, *builder, error) {
	w := what()
	if x, ok := b.exporters[w.name]; ok {
		return x.work, x.builder, nil
	}
	w, err := w.write(b)
	if err != nil {
		return w, nil, err
	}
	exporter, err := b.newBuilder(ctx)
	if err != nil {
		return w, nil, err
	}
	b.atEnd(func() { _ = exporter.stop() })
	b.exporters[w.name] = exported{w, exporter}
	first, err := openPlain(ctx, b, bucket.Config{})
	if err != nil {
		return w, nil, err
	}
	err = exporter.build(ctx, w.dir, "--export-cache", first.cacheTo()+attributes)
	return w, exporter, errors.Join(err, first.close(ctx))
}

// exported is a builder that has built a workload.
type exported struct {
	work    workload
	builder *builder
}

// round measures each contender once.
func (m *caches) round(ctx context.Context, n int) error {
	for i := range m.contenders {
		// Another one begins in each round, so that none has always the same one before it.
		c := m.contenders[(i+n)%len(m.contenders)]
		err := m.measure(ctx, c)
		if err != nil && c.optional && ctx.Err() == nil {
			m.bench.note("%s, %s, %s: %v", c.name, m.work.name, m.link, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s, %s, %s: %w", c.name, m.work.name, m.link, err)
		}
	}
	return nil
}

func (m *caches) measure(ctx context.Context, c contender) error {
	where, err := m.server.newBucket(ctx, m.link)
	if err != nil {
		return err
	}
	p, err := c.open(ctx, m.bench, where)
	if err != nil {
		return err
	}
	err = m.moved(ctx, c, p, where)
	return errors.Join(err, p.close(ctx), m.server.drop(where))
}

func (m *caches) moved(ctx context.Context, c contender, p place, where bucket.Config) error {
	if err := m.exports(ctx, c, p, where); err != nil {
		return err
	}
	if err := errors.Join(m.memory(ctx, p), p.renew(ctx)); err != nil {
		return err
	}
	for _, as := range m.work.imports {
		if err := m.imported(ctx, m.key(as, c.name), p); err != nil {
			return err
		}
	}
	return m.memory(ctx, p)
}

// memory is row M: what the daemon has taken for an export, or for imports.
func (m *caches) memory(ctx context.Context, p place) error {
	mount, ok := p.(*mount)
	if !ok {
		return nil
	}
	return m.bench.memory(ctx, mount, m.key(measure{"M", m.work.name}, layoutfsName), 200<<20)
}

func (m *caches) exports(ctx context.Context, c contender, p place, where bucket.Config) error {
	for _, as := range m.work.exports {
		err := m.bench.timed(m.key(as, c.name), func() error {
			if err := m.exporter.build(ctx, m.work.dir, "--export-cache", p.cacheTo()+attributes); err != nil {
				return err
			}
			return p.settle(ctx)
		})
		if err != nil {
			return err
		}
	}
	if c.name == plainName {
		return nil
	}
	bytes, err := m.server.size(where)
	if err == nil && bytes < m.work.bytes {
		err = fmt.Errorf("the bucket has %d bytes after an export of %d", bytes, m.work.bytes)
	}
	if over, ok := shapes[m.link]; ok && c.name == layoutfsName {
		m.bench.samples.add(m.key(m.work.exports[0], wireName), float64(m.work.bytes)/float64(over.Bandwidth))
		m.bench.samples.add(m.key(m.work.imports[0], wireName), float64(m.work.bytes)/float64(over.Bandwidth))
	}
	return err
}

// imported imports everything to a new builder, because the last step of each stage is one that it does not have.
func (m *caches) imported(ctx context.Context, k key, p place) error {
	w, err := m.bench.newBuilder(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.stop() }() // what it has is not used again
	if err := m.work.change(late, time.Now().String()); err != nil {
		return err
	}
	err = m.bench.timed(k, func() error {
		if err := p.fetch(ctx); err != nil {
			return err
		}
		return w.build(ctx, m.work.dir, "--opt", "target="+m.work.target, "--import-cache", p.cacheFrom())
	})
	if err != nil {
		return err
	}
	if n, err := w.pulled(); err != nil || n < m.work.bytes {
		return fmt.Errorf("the builder has %d bytes after an import of %d (%w)", n, m.work.bytes, err)
	}
	return m.work.change(late, "first")
}

func (m *caches) key(as measure, contender string) key {
	return key{Row: as.row, Work: as.work, Link: m.link, Server: m.server.name, Contender: contender}
}
