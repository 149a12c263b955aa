package bucket_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// proxyChild holds the configuration that a child process is to check. Go reads the proxy variables once
// in a process, so each case needs one of its own.
const proxyChild = "BUCKET_TEST_PROXY_CHILD"

func checkFromChild() int {
	var c bucket.Config
	err := json.Unmarshal([]byte(os.Getenv(proxyChild)), &c)
	var client *bucket.Client
	if err == nil {
		client, err = bucket.Open(context.Background(), c, bucket.Options{})
	}
	if err == nil {
		err = client.Check(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// checkIn checks c in a process with the environment given, and returns what it said.
func checkIn(t *testing.T, c bucket.Config, env ...string) string {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), proxyChild+"="+string(b), "NO_PROXY=", "HTTPS_PROXY=", "HTTP_PROXY="), env...)
	out, err := cmd.Output()
	if (err != nil) != (len(out) > 0) {
		t.Fatalf("the child ended with %v and said %q", err, out)
	}
	return string(out)
}

// proxy is an HTTP proxy that leads everywhere to one address, and keeps what it was asked for.
type proxy struct {
	to string

	mu    sync.Mutex // guards following
	asked []string
}

func startProxy(t *testing.T, to string) (*proxy, string) {
	t.Helper()
	p := &proxy{to: to}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return p, server.URL
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.mu.Unlock()
	if r.Method != http.MethodConnect {
		forward(p.to).ServeHTTP(w, r)
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	w.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	go func() { _, _ = io.Copy(server, buffered) }()
	_, _ = io.Copy(client, server)
}

func (p *proxy) want(t *testing.T, want ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.asked, want) {
		t.Errorf("the proxy was asked for %q, want %q", p.asked, want)
	}
	p.asked = nil
}

// forward passes requests on to an address, with the Host that they were signed for.
func forward(to string) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: to})
		r.Out.Host = r.In.Host
	}}
}

// TestProxy reaches a real server, with TLS and without, at a name that only the proxy knows.
func TestProxy(t *testing.T) {
	t.Parallel()
	cfg := buckettest.Start(t)
	real := strings.TrimPrefix(cfg.EndpointURL, "http://")
	secure := httptest.NewUnstartedServer(forward(real))
	secure.Config.ErrorLog = log.New(t.Output(), "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	plain, plainURL := startProxy(t, real)
	tunnel, tunnelURL := startProxy(t, secure.Listener.Addr().String())
	env := []string{"HTTP_PROXY=" + plainURL, "HTTPS_PROXY=" + tunnelURL}

	cfg.EndpointURL = "http://example.com:81"
	if said := checkIn(t, cfg, env...); said != "" {
		t.Errorf("through $HTTP_PROXY: %s", said)
	}
	plain.want(t, "GET example.com:81")
	cfg.EndpointURL, cfg.Network.CABundle = "https://example.com", ca // for which the certificate is
	if said := checkIn(t, cfg, env...); said != "" {
		t.Errorf("through $HTTPS_PROXY: %s", said)
	}
	tunnel.want(t, "CONNECT example.com:443")

	cfg.EndpointURL = "https://example.invalid"
	if said := checkIn(t, cfg, append(env, "NO_PROXY=.invalid")...); !strings.Contains(said, "example.invalid is not found") {
		t.Errorf("with $NO_PROXY: %s", said)
	}
	tunnel.want(t)
	if said := checkIn(t, cfg, "HTTPS_PROXY=http://me:hush@127.0.0.1:1"); !strings.Contains(said, "the proxy of $HTTPS_PROXY") || strings.Contains(said, "hush") {
		t.Errorf("with a proxy that is not there: %s", said)
	}
}
