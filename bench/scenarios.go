package main

import (
	"context"
	"fmt"
)

// scenarios are all there is to measure, the most telling first, and last the one of which a round takes longest.
func (b *bench) scenarios() []scenario {
	both := []string{loopback, slow}
	w, fast, far := []string{"E1", "E2", "I1", "I2", "M"}, []string{loopback}, []string{slow}
	return []scenario{
		{name: "W over loopback", part: 640, rows: w, links: fast, server: versitygw, begin: b.caches(newW, loopback, b.all()...)},
		{name: "W over the slow link", part: 237, rows: w, links: far, server: versitygw, begin: b.caches(newW, slow, ours(), own(), folder())},
		{name: "F over the slow link", part: 320, rows: []string{"F"}, links: far, server: versitygw, begin: b.caches(newF, slow, ours(), own())},
		{name: "reads", part: 215, rows: []string{"R", "C"}, links: both, server: versitygw, begin: b.reads},
		{name: "writes", part: 99, rows: []string{"W", "C"}, links: fast, server: versitygw, begin: b.writes},
		{name: "first bytes", part: 40, rows: []string{"T"}, links: far, server: versitygw, begin: b.touch},
		{name: "small imports", part: 40, rows: []string{"S"}, links: fast, server: versitygw, begin: b.small},
		{name: "a large blob", part: 68, rows: []string{"M", "large"}, links: fast, server: minio, most: 1, begin: b.large},
		{name: "a large bucket", part: 50, rows: []string{"N"}, links: fast, server: versitygw, begin: b.manyNames},
		{name: "W over loopback", part: 175, rows: w, links: fast, server: minio, begin: b.caches(newW, loopback, ours(), own(), folder())},
		{name: "B over the slow link", part: 340, rows: []string{"B"}, links: far, server: versitygw, begin: b.caches(newB, slow, ours(), own())},
	}
}

func ours() contender   { return contender{name: layoutfsName, open: openLayoutfs} }
func own() contender    { return contender{name: s3Name, open: openS3} }
func folder() contender { return contender{name: plainName, open: openPlain} }

// all are the contenders of the workload that is measured with each of them.
func (b *bench) all() []contender {
	c := []contender{ours(), own(), folder()}
	if b.few {
		return c
	}
	return append(
		c,
		contender{name: rcloneSyncName, open: openSynced, optional: true},
		contender{name: rcloneMountName, open: openRcloneMount, optional: true},
		contender{name: s3fsName, open: openS3fs, optional: true},
	)
}

// caches begins the measure of a workload.
func (b *bench) caches(what func() workload, over string, contenders ...contender) func(context.Context, *server) (round, error) {
	return func(ctx context.Context, s *server) (round, error) {
		w, exporter, err := b.built(ctx, what)
		if err != nil {
			return nil, fmt.Errorf("build the workload: %w", err)
		}
		return (&caches{bench: b, server: s, work: w, exporter: exporter, link: over, contenders: contenders}).round, nil
	}
}
