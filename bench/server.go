package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/layoutfs/layoutfs/bench/link"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// server is a running S3 server and the ways to it.
type server struct {
	name        string
	data        string // each folder in it is a bucket
	endpoint    string // host and port, without a link
	key, secret string
	process     *process
	links       map[string]*link.Link // by the name of the link
}

const (
	versitygw = "versitygw"
	minio     = "minio"

	// Links.
	loopback  = "loopback"
	slow      = "slow"
	bandwidth = 1e9 / 8 // of the slow one, in bytes per second
)

// shapes are the links that a proxy makes; loopback is none.
var shapes = map[string]link.Shape{slow: {RTT: 20 * time.Millisecond, Bandwidth: bandwidth}}

// newServer starts versitygw, which layoutfs embeds, or MinIO.
func (b *bench) newServer(ctx context.Context, name string) (*server, error) {
	dir, err := b.folder(name)
	if err != nil {
		return nil, err
	}
	s := &server{name: name, data: filepath.Join(dir, "data"), links: map[string]*link.Link{}}
	begin := s.startMinIO
	if name == versitygw {
		begin = s.startVersity
	}
	endpoint, err := begin(b, dir)
	if s.process != nil {
		b.atEnd(s.process.stop)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	for name, shape := range shapes {
		l, err := link.New(shape, endpoint)
		if err != nil {
			return nil, err
		}
		s.links[name] = l
		go func() { _ = l.Serve(ctx) }() // it ends with the context
	}
	s.endpoint = endpoint
	return s, nil
}

func (s *server) startVersity(b *bench, dir string) (endpoint string, err error) {
	data := s.data
	s.data = filepath.Join(data, "buckets") // the rest of it is what layoutfs keeps about the server
	s.process, err = start(dir, nil, b.layoutfs, "s3", "--data", data, "--addr", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	var c bucket.Config
	err = s.process.await(func() bool {
		_, csv, _ := strings.Cut(s.process.output(), "--s3 ")
		line, _, whole := strings.Cut(csv, "\n")
		var err error
		c, err = bucket.Parse(strings.TrimSpace(line), func(string) (string, bool) { return "", false })
		return whole && err == nil
	})
	s.key, s.secret = c.AccessKeyID, c.SecretAccessKey
	return strings.TrimPrefix(c.EndpointURL, "http://"), err
}

func (s *server) startMinIO(b *bench, dir string) (endpoint string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	endpoint = l.Addr().String()
	l.Close()
	s.key, s.secret = "bench-"+rand.Text()[:8], rand.Text()
	env := []string{"MINIO_ROOT_USER=" + s.key, "MINIO_ROOT_PASSWORD=" + s.secret, "MINIO_CI_CD=on", "MINIO_BROWSER=off"}
	s.process, err = start(dir, env, b.tool("minio"), "server", "--quiet", "--address", endpoint, s.data)
	if err != nil {
		return "", err
	}
	return endpoint, s.process.await(func() bool { return answers("http://" + endpoint + "/minio/health/ready") })
}

// answers says whether a GET is answered with 200.
func answers(url string) bool {
	r, err := http.Get(url)
	if err != nil {
		return false
	}
	return errors.Join(r.Body.Close()) == nil && r.StatusCode == http.StatusOK
}

// newBucket makes an empty bucket that is reached over a link.
func (s *server) newBucket(ctx context.Context, over string) (bucket.Config, error) {
	c := bucket.Default()
	c.Bucket, c.Region, c.UsePathStyle = "bench-"+strings.ToLower(rand.Text()[:16]), "us-east-1", true
	c.AccessKeyID, c.SecretAccessKey = s.key, s.secret
	direct, err := openBucket(ctx, s.at(c, s.endpoint))
	if err != nil {
		return c, err
	}
	return s.over(c, over), direct.CreateBucket(ctx)
}

// over is a bucket as it is reached over a link.
func (s *server) over(c bucket.Config, over string) bucket.Config {
	if l, ok := s.links[over]; ok {
		return s.at(c, l.Addr())
	}
	return s.at(c, s.endpoint)
}

func (s *server) at(c bucket.Config, addr string) bucket.Config {
	c.EndpointURL = "http://" + addr
	return c
}

// size is what a bucket takes on the disk of the server: both keep one in a folder.
func (s *server) size(c bucket.Config) (int64, error) { return sizeOf(filepath.Join(s.data, c.Bucket)) }

// drop frees the disk of a bucket. This is not what is measured.
func (s *server) drop(c bucket.Config) error { return os.RemoveAll(filepath.Join(s.data, c.Bucket)) }

// csv is a bucket as --s3 and type=s3 take it.
func csv(c bucket.Config) string {
	return strings.Join([]string{
		"region=" + c.Region, "bucket=" + c.Bucket, "endpoint_url=" + c.EndpointURL, "use_path_style=true",
		"access_key_id=" + c.AccessKeyID, "secret_access_key=" + c.SecretAccessKey, "name=cache",
	}, ",")
}

func openBucket(ctx context.Context, c bucket.Config) (*bucket.Client, error) {
	return bucket.Open(ctx, c, bucket.Options{})
}
