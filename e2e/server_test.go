package e2e

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// server is a running S3 server.
type server struct {
	name     string
	endpoint string
	key      string
	secret   string
}

// kind is a kind of S3 server; start is one of it that all tests share.
type kind struct {
	name  string
	start func(t testing.TB) *server
}

// servers are the S3 servers that everything which depends on a server is tested on. There are more in
// servers_contract_test.go.
var servers = []kind{
	{"versitygw", func(t testing.TB) *server { return shared.get(t, "versitygw", startEmbedded) }},
	{"minio", func(t testing.TB) *server { return shared.get(t, "minio", startMinIO) }},
}

// onEachServer runs a test on every server.
func onEachServer(t *testing.T, f func(t *testing.T, s *server)) {
	t.Helper()
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) { f(t, s.start(t)) })
	}
}

// anyServer is for what does not depend on the server.
func anyServer(t testing.TB) *server { return servers[0].start(t) }

// process is a program in the background that ends with the tests.
type process struct {
	cmd    *exec.Cmd
	dir    string
	done   chan struct{}
	ending syscall.Signal
	needs  []*process // stopped after it, from the last to the first
}

// startProcess runs a program with a folder of its own; its output goes to the file log there.
func startProcess(dir string, env []string, name string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{cmd: exec.Command(name, args...), dir: dir, done: make(chan struct{}), ending: syscall.SIGTERM}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p, nil
}

func (p *process) log() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(b)
}

// stop ends the program gently, and after a while not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(p.ending)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	for _, need := range slices.Backward(p.needs) {
		need.stop()
	}
}

// awaitUp returns when up says so. There is no event to wait for: a server listens when it listens.
func (p *process) awaitUp(up func() bool) error {
	deadline := time.Now().Add(time.Minute)
	for !up() {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at once: %s", p.cmd.Path, p.log())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %s", p.cmd.Path, p.log())
		}
	}
	return nil
}

// pool holds what all tests share, each started when it is first asked for.
type pool struct {
	mu        sync.Mutex // guards following
	servers   map[string]*server
	processes []*process
}

var shared = &pool{servers: map[string]*server{}}

func (p *pool) get(t testing.TB, name string, start func(t testing.TB, dir string) (*server, *process, error)) *server {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.servers[name]; ok {
		return s
	}
	dir, err := os.MkdirTemp("", "layoutfs-e2e-"+name+"-")
	must(t, err)
	s, proc, err := start(t, dir)
	if err != nil {
		if proc != nil {
			proc.stop()
		}
		must(t, os.RemoveAll(dir))
		t.Fatalf("start %s: %v", name, err)
	}
	s.name = name
	p.servers[name] = s
	p.processes = append(p.processes, proc)
	return s
}

func (p *pool) stop() {
	var all sync.WaitGroup
	for _, proc := range p.processes {
		all.Go(func() {
			proc.stop()
			_ = os.RemoveAll(proc.dir)
		})
	}
	all.Wait()
}

// startEmbedded serves with layoutfs itself: versitygw on a folder.
func startEmbedded(t testing.TB, dir string) (*server, *process, error) {
	p, err := startProcess(dir, nil, layoutfs, "s3", "--data", filepath.Join(dir, "data"), "--addr", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	var c bucket.Config
	err = p.awaitUp(func() bool {
		_, csv, ok := strings.Cut(p.log(), "--s3 ")
		if !ok || !strings.Contains(csv, "\n") {
			return false
		}
		line, _ := bufio.NewReader(strings.NewReader(csv)).ReadString('\n')
		c, err = bucket.Parse(strings.TrimSpace(line), noEnv)
		return err == nil
	})
	return &server{endpoint: c.EndpointURL, key: c.AccessKeyID, secret: c.SecretAccessKey}, p, err
}

func startMinIO(t testing.TB, dir string) (*server, *process, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, nil, err
	}
	addr, console := "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1]
	s := &server{endpoint: "http://" + addr, key: "e2e-" + rand.Text()[:8], secret: rand.Text()}
	env := []string{"MINIO_ROOT_USER=" + s.key, "MINIO_ROOT_PASSWORD=" + s.secret, "MINIO_CI_CD=on", "MINIO_BROWSER=off"}
	p, err := startProcess(dir, env, tool(t, "minio"), "server", "--quiet", "--address", addr, "--console-address", console, filepath.Join(dir, "data"))
	if err != nil {
		return nil, nil, err
	}
	return s, p, p.awaitUp(func() bool { return answers(s.endpoint + "/minio/health/ready") })
}

// answers says whether a GET is answered with 200.
func answers(url string) bool {
	r, err := http.Get(url)
	if err != nil {
		return false
	}
	return errors.Join(r.Body.Close()) == nil && r.StatusCode == http.StatusOK
}

// freePort is an address on loopback that nobody listened on a moment ago.
func freePort() (string, error) {
	ports, err := freePorts(1)
	if err != nil {
		return "", err
	}
	return "127.0.0.1:" + ports[0], nil
}

// freePorts are n ports of loopback that nobody listened on a moment ago.
func freePorts(n int) ([]string, error) {
	ports := make([]string, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // not before all are found, so that they differ
		if _, ports[i], err = net.SplitHostPort(l.Addr().String()); err != nil {
			return nil, err
		}
	}
	return ports, nil
}

func noEnv(string) (string, bool) { return "", false }

// config is a new bucket on the server.
func (s *server) config(t testing.TB) bucket.Config {
	t.Helper()
	c := bucket.Default()
	c.Bucket, c.Region = "e2e-"+strings.ToLower(rand.Text()[:16]), "us-east-1"
	c.EndpointURL, c.UsePathStyle = s.endpoint, true
	c.AccessKeyID, c.SecretAccessKey = s.key, s.secret
	must(t, s.client(t, c).CreateBucket(t.Context()))
	return c
}

// client is a client of ours.
func (s *server) client(t testing.TB, c bucket.Config) *bucket.Client {
	t.Helper()
	client, err := bucket.Open(t.Context(), c, bucket.Options{})
	must(t, err)
	return client
}

// csv is a bucket as --s3 and type=s3 take it; more are further fields.
func csv(c bucket.Config, more ...string) string {
	fields := []string{
		"region=" + c.Region, "bucket=" + c.Bucket, "endpoint_url=" + c.EndpointURL, "use_path_style=true",
		"access_key_id=" + c.AccessKeyID, "secret_access_key=" + c.SecretAccessKey,
		"prefix=" + c.Prefix,
	}
	return strings.Join(append(fields, more...), ",")
}

// object is what the bucket has under a name.
func object(t testing.TB, c *bucket.Client, name string) bucket.Name {
	t.Helper()
	n, err := c.GetName(t.Context(), name)
	must(t, err)
	return n
}

// blobsOf lists the blobs of a bucket by digest.
func blobsOf(t testing.TB, c *bucket.Client) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	for o, err := range c.ListBlobs(t.Context()) {
		must(t, err)
		all[o.Digest.String()] = o.Size
	}
	return all
}
