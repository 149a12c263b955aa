package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// gib is the size of the blob of rows R, W, T and C.
const gib = 1 << 30

// reads measures rows R and C: a large blob, cold and warm.
func (b *bench) reads(ctx context.Context, s *server) (round, error) {
	x, err := b.newBlob(ctx, s, gib)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, n int) error {
		mount := func() error { return b.readMount(ctx, s, x, n) }
		gets := func() error { return b.readGETs(ctx, s, x) }
		if err := inTurns(n, mount, gets); err != nil {
			return err
		}
		return b.readOthers(ctx, s, x)
	}, nil
}

// inTurns does all of some things; another one is the first in each round.
func inTurns(round int, things ...func() error) error {
	for i := range things {
		if err := things[(i+round)%len(things)](); err != nil {
			return err
		}
	}
	return nil
}

// readMount reads the blob on a new host over each link, and again where that is loopback.
func (b *bench) readMount(ctx context.Context, s *server, x blob, round int) error {
	for _, l := range b.links {
		if err := b.readCold(ctx, s, x, l, round); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) readCold(ctx context.Context, s *server, x blob, over string, round int) error {
	m, err := b.newMount(ctx, csv(s.over(x.where, over)))
	if err != nil {
		return err
	}
	k := key{Row: "R", Work: "cold", Link: over, Server: s.name, Contender: layoutfsName}
	cpu, err := m.used(ctx, func() error {
		if err := b.timed(k, func() error { return x.read(x.in(m.point())) }); err != nil {
			return err
		}
		return m.await(ctx, "the blob is warm", func(s daemon.Status) bool { return s.Warm.Bytes >= x.size })
	})
	if err != nil {
		return err
	}
	if over == loopback {
		b.samples.add(key{"C", "cold read", over, s.name, layoutfsName}, cpu)
		if err := b.readWarm(ctx, s, x, m, round); err != nil {
			return err
		}
	}
	return m.close(ctx)
}

// warmReads is how often a round reads warm, by either way: the memory that the pages go to is now there and now to be had
// from the host of a virtual machine, which takes twice as long, whoever reads.
const warmReads = 3

// readWarm reads the file of the cache directory through the mount and directly: the disk of a virtual machine does not
// read one place as fast as another.
func (b *bench) readWarm(ctx context.Context, s *server, x blob, m *mount, round int) error {
	own := x.in(m.cache())
	err := awaitThat("the blob is in its place", func() (bool, error) {
		_, err := os.Stat(own)
		return err == nil, nil
	})
	if err != nil {
		return err
	}
	b.samples.add(key{"C", "warm read", loopback, s.name, allowedName}, 0.05)
	for n := range warmReads {
		err := inTurns(round+n, func() error {
			cpu, err := m.used(ctx, func() error { return b.readAgain(s, x, layoutfsName, x.in(m.point())) })
			b.samples.add(key{"C", "warm read", loopback, s.name, layoutfsName}, cpu)
			return err
		}, func() error { return b.readAgain(s, x, localName, own) })
		if err != nil {
			return err
		}
	}
	return inTurns(round,
		func() error { return b.randomReads(ctx, s, layoutfsName, x.in(m.point())) },
		func() error { return b.randomReads(ctx, s, localName, own) })
}

// readAgain reads a file that is not in memory in order.
func (b *bench) readAgain(s *server, x blob, contender, path string) error {
	if err := dropCaches(); err != nil {
		return err
	}
	return b.timed(key{"R", "warm", loopback, s.name, contender}, func() error { return x.read(path) })
}

// readGETs is what the link and the server are able to: GETs whose bytes go nowhere. And what the SDK and one
// SHA-256 cost.
func (b *bench) readGETs(ctx context.Context, s *server, x blob) error {
	for _, l := range b.links {
		err := b.timed(key{"R", "cold", l, s.name, getsName}, func() error {
			return x.get(ctx, s.over(x.where, l), func(int64) io.Writer { return io.Discard })
		})
		if err != nil {
			return err
		}
	}
	return b.sdkReads(ctx, s, x)
}

// randomReads are the seconds of 100,000 reads of 4 KiB with fio, of a file that is in memory.
func (b *bench) randomReads(ctx context.Context, s *server, contender, path string) error {
	k := key{"R", "warm 4 KiB", loopback, s.name, contender}
	out, err := run(ctx, nil, "fio", "--name=r", "--filename="+path, "--readonly", "--rw=randread", "--bs=4k",
		"--ioengine=psync", "--norandommap", "--randseed=1", "--io_size=1g", "--invalidate=0", "--output-format=json")
	if err != nil {
		return err
	}
	var found struct {
		Jobs []struct {
			Read struct {
				IOPS float64 `json:"iops"`
			} `json:"read"`
		} `json:"jobs"`
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found.Jobs) != 1 || found.Jobs[0].Read.IOPS == 0 {
		return fmt.Errorf("fio printed %s: %w", out, err)
	}
	b.samples.add(k, 1e5/found.Jobs[0].Read.IOPS)
	return nil
}

// readOthers reads the blob cold with the other file systems on S3.
func (b *bench) readOthers(ctx context.Context, s *server, x blob) error {
	if b.few || !wants(b.links, loopback) {
		return nil
	}
	others := map[string]func(context.Context, *bench, bucket.Config) (place, error){rcloneMountName: openRcloneMount, s3fsName: openS3fs}
	for name, open := range others {
		p, err := open(ctx, b, x.where)
		if err != nil {
			return err
		}
		path := filepath.Join(p.(*otherMount).point(), "blobs", x.digest.String())
		err = b.timed(key{"R", "cold", loopback, s.name, name}, func() error { return x.read(path) })
		if err := errors.Join(err, p.close(ctx)); err != nil {
			return err
		}
	}
	return nil
}
