package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// synced is a folder that rclone copies to the bucket after an export, and from it before an import.
type synced struct {
	plain
	bench *bench
	env   []string
	at    string // of the bucket
}

func openSynced(ctx context.Context, b *bench, c bucket.Config) (place, error) {
	p, err := openPlain(ctx, b, c)
	if err != nil {
		return nil, err
	}
	return &synced{plain: p.(plain), bench: b, env: rcloneEnv(c), at: "s3:" + c.Bucket + "/layout"}, nil
}

// rcloneEnv makes a bucket known to rclone as s3.
func rcloneEnv(c bucket.Config) []string {
	return []string{
		"RCLONE_CONFIG=/dev/null", "RCLONE_CONFIG_S3_TYPE=s3", "RCLONE_CONFIG_S3_PROVIDER=Other",
		"RCLONE_CONFIG_S3_ENDPOINT=" + c.EndpointURL, "RCLONE_CONFIG_S3_REGION=" + c.Region,
		"RCLONE_CONFIG_S3_ACCESS_KEY_ID=" + c.AccessKeyID, "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY=" + c.SecretAccessKey,
		"RCLONE_CONFIG_S3_FORCE_PATH_STYLE=true",
	}
}

func (p *synced) settle(ctx context.Context) error { return p.sync(ctx, p.dir, p.at) }
func (p *synced) fetch(ctx context.Context) error  { return p.sync(ctx, p.at, p.dir) }

func (p *synced) sync(ctx context.Context, from, to string) error {
	_, err := run(ctx, p.env, p.bench.tool("rclone"), "sync", from, to)
	return err
}

func (p *synced) renew(context.Context) error {
	return errors.Join(os.RemoveAll(p.dir), os.Mkdir(p.dir, 0o755))
}

// otherMount is the mount of another file system on S3, with its own disk cache.
type otherMount struct {
	bench   *bench
	begin   func(m *otherMount) (*process, error)
	dir     string // with the cache and the mountpoint
	process *process
	control string // where rclone tells what it has to upload; empty: uploads end before a close does
}

func (m *otherMount) point() string { return filepath.Join(m.dir, "mnt") }
func (m *otherMount) cache() string { return filepath.Join(m.dir, "cache") }

func (m *otherMount) mount() (err error) {
	if m.dir, err = m.bench.folder("other"); err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(m.point(), 0o755), os.Mkdir(m.cache(), 0o755)); err != nil {
		return err
	}
	var below syscall.Stat_t
	if err := syscall.Stat(m.point(), &below); err != nil {
		return err
	}
	if m.process, err = m.begin(m); err != nil {
		return err
	}
	return m.process.await(func() bool {
		var now syscall.Stat_t
		return syscall.Stat(m.point(), &now) == nil && now.Dev != below.Dev
	})
}

// openRcloneMount mounts with a short pause before uploads. With none, renames overtake them and most of a cache is
// lost; with the default, 5 s would be what is measured.
func openRcloneMount(_ context.Context, b *bench, c bucket.Config) (place, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l.Close()
	m := &otherMount{bench: b, control: l.Addr().String()}
	m.begin = func(m *otherMount) (*process, error) {
		return start(m.dir, rcloneEnv(c), b.tool("rclone"), "mount", "s3:"+c.Bucket, m.point(), "--vfs-cache-mode", "full",
			"--cache-dir", m.cache(), "--vfs-write-back", "200ms", "--rc", "--rc-no-auth", "--rc-addr", m.control)
	}
	return m, m.mount()
}

func openS3fs(_ context.Context, b *bench, c bucket.Config) (place, error) {
	m := &otherMount{bench: b}
	m.begin = func(m *otherMount) (*process, error) {
		key := filepath.Join(m.dir, "key")
		if err := os.WriteFile(key, []byte(c.AccessKeyID+":"+c.SecretAccessKey), 0o600); err != nil {
			return nil, err
		}
		return start(m.dir, nil, "s3fs", c.Bucket, m.point(), "-f", "-o", strings.Join([]string{
			"passwd_file=" + key, "url=" + c.EndpointURL, "endpoint=" + c.Region, "use_path_request_style", "use_cache=" + m.cache(),
		}, ","))
	}
	return m, m.mount()
}

func (m *otherMount) layout() string              { return filepath.Join(m.point(), "layout") }
func (m *otherMount) cacheTo() string             { return "type=local,dest=" + m.layout() }
func (m *otherMount) cacheFrom() string           { return "type=local,src=" + m.layout() }
func (m *otherMount) fetch(context.Context) error { return nil }

func (m *otherMount) settle(context.Context) error {
	if m.control == "" {
		return nil
	}
	return awaitThat("rclone has uploaded everything", func() (bool, error) {
		r, err := http.Post("http://"+m.control+"/vfs/stats", "", nil)
		if err != nil {
			return false, err
		}
		defer r.Body.Close()
		var s struct {
			DiskCache struct{ UploadsInProgress, UploadsQueued int }
		}
		err = json.NewDecoder(r.Body).Decode(&s)
		return s.DiskCache.UploadsInProgress+s.DiskCache.UploadsQueued == 0, err
	})
}

func (m *otherMount) renew(ctx context.Context) error {
	if err := m.close(ctx); err != nil {
		return err
	}
	return m.mount()
}

func (m *otherMount) close(ctx context.Context) error {
	_, err := run(ctx, nil, "fusermount3", "-u", m.point())
	if err != nil {
		err = errors.Join(err, syscall.Unmount(m.point(), syscall.MNT_DETACH))
	}
	m.process.stop()
	return errors.Join(err, os.RemoveAll(m.dir))
}
