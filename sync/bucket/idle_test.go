package bucket_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 1)
	server := httptest.NewUnstartedServer(s3Error(403, "AccessDenied", "Access Denied"))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	cfg := at(server.URL)
	cfg.Limits.Requests = 1000
	c := buckettest.OpenWith(t, cfg, bucket.Options{})
	if err := c.Check(t.Context()); err == nil {
		t.Fatal("Check: no error")
	}
	c.CloseIdle()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection stays open")
	}
}
