package main

import (
	"context"
	"fmt"
	"time"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// caches measures exports and imports of one workload over one link: rows E1, E2, I1 and I2, or what the
// workload calls them.
type caches struct {
	work       workload
	server     *server
	link       string
	contenders []contender
	exporter   *builder // has built the workload
}

// attributes go with each export. The first one makes the blobs, so that they need no force-compression, which
// costs a second to find that nothing has to be done.
const attributes = ",mode=max,compression=uncompressed"

// newCaches builds the workload and makes its blobs, so that an export moves them and does nothing else.
func (b *bench) newCaches(ctx context.Context, w workload) (*builder, workload, error) {
	w, err := w.write(b)
	if err != nil {
		return nil, w, err
	}
	exporter, err := b.newBuilder(ctx)
	if err != nil {
		return nil, w, err
	}
	b.atEnd(func() { _ = exporter.stop() })
	first, err := openPlain(ctx, b, bucket.Config{})
	if err != nil {
		return nil, w, err
	}
	if err := exporter.build(ctx, w.dir, "--export-cache", first.cacheTo()+attributes); err != nil {
		return nil, w, err
	}
	return exporter, w, first.close(ctx)
}

// round measures each contender once.
func (m caches) round(ctx context.Context, b *bench, n int) error {
	for i := range m.contenders {
		// Another one begins in each round, so that none has always the same one before it.
		c := m.contenders[(i+n)%len(m.contenders)]
		if err := m.measure(ctx, b, c); err != nil {
			return fmt.Errorf("%s, %s, %s: %w", c.name, m.work.name, m.link, err)
		}
	}
	return nil
}

func (m caches) measure(ctx context.Context, b *bench, c contender) error {
	where, err := m.server.newBucket(ctx, m.link)
	if err != nil {
		return err
	}
	p, err := c.open(ctx, b, where)
	if err != nil {
		return err
	}
	if err := m.exports(ctx, b, c, p, where); err != nil {
		return err
	}
	if err := m.imports(ctx, b, c, p); err != nil {
		return err
	}
	if err := p.close(ctx); err != nil {
		return err
	}
	return m.server.drop(where)
}

func (m caches) exports(ctx context.Context, b *bench, c contender, p place, where bucket.Config) error {
	for _, row := range []string{"E1", "E2"} {
		seconds, err := timed(func() error {
			if err := m.exporter.build(ctx, m.work.dir, "--export-cache", p.cacheTo()+attributes); err != nil {
				return err
			}
			return p.settle(ctx)
		})
		if err != nil {
			return err
		}
		b.add(m.key(row, c.name), seconds)
	}
	if c.name == plainName {
		return nil
	}
	bytes, blobs, err := m.server.size(ctx, where)
	if err == nil && (bytes < m.work.bytes || blobs < m.work.layers) {
		err = fmt.Errorf("the bucket has %d bytes in %d blobs after an export of %d in %d", bytes, blobs, m.work.bytes, m.work.layers)
	}
	return err
}

func (m caches) imports(ctx context.Context, b *bench, c contender, p place) error {
	if err := p.renew(ctx); err != nil {
		return err
	}
	for _, row := range []string{"I1", "I2"} {
		seconds, err := m.imported(ctx, b, p)
		if err != nil {
			return err
		}
		b.add(m.key(row, c.name), seconds)
	}
	return nil
}

// imported imports everything to a new builder, because the last step is one that it does not have.
func (m caches) imported(ctx context.Context, b *bench, p place) (float64, error) {
	w, err := b.newBuilder(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = w.stop() }() // what it has is not used again
	if err := m.work.change(time.Now().String()); err != nil {
		return 0, err
	}
	seconds, err := timed(func() error { return w.build(ctx, m.work.dir, "--import-cache", p.cacheFrom()) })
	if err != nil {
		return 0, err
	}
	if n, err := w.pulled(); err != nil || n < m.work.bytes {
		return 0, fmt.Errorf("the builder has %d bytes after an import of %d (%w)", n, m.work.bytes, err)
	}
	return seconds, m.work.change("first")
}

func (m caches) key(row, contender string) key {
	return key{Row: row, Work: m.work.name, Link: m.link, Server: m.server.name, Contender: contender}
}
