package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const ms = time.Millisecond

// connected is both ends of a connection over a link, in the time of the bubble.
func connected(t *testing.T, l *Link) (client, server net.Conn) {
	t.Helper()
	client, near := net.Pipe()
	far, server := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.join(ctx, near, far)
	}()
	t.Cleanup(func() {
		client.Close()
		server.Close()
		cancel()
		<-done
	})
	return client, server
}

// send writes to one end and returns how long after its beginning all of it arrived at the other.
func send(t *testing.T, to, from net.Conn, n int) time.Duration {
	t.Helper()
	began := time.Now()
	go func() { _, _ = to.Write(make([]byte, n)) }() // a failure is a read that is too short
	if _, err := io.ReadFull(from, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

func TestDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connected(t, newLink(Shape{RTT: 20 * ms}, "", nil))
		if d := send(t, client, server, 1); d != 30*ms {
			t.Errorf("the first byte took %v, not a round trip for the connection and half of one for itself", d)
		}
		if d := send(t, server, client, 1); d != 10*ms {
			t.Errorf("the answer took %v", d)
		}
		if d := send(t, client, server, 1); d != 10*ms {
			t.Errorf("a later byte took %v", d)
		}
	})
}

// TestBandwidth: the first burst passes at once, the rest as the bandwidth has it, in each direction.
func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10 * Window
		client, server := connected(t, newLink(Shape{RTT: 20 * ms, Bandwidth: n}, "", nil))
		for _, d := range []time.Duration{send(t, client, server, n), send(t, server, client, n)} {
			if d < 950*ms || d > 1040*ms {
				t.Errorf("what fills the link for a second took %v", d)
			}
		}
	})
}

// TestConnectionsShare: two connections are as fast as one, together.
func TestConnectionsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10 * Window
		l := newLink(Shape{Bandwidth: n}, "", nil)
		took := make(chan time.Duration)
		for range 2 {
			client, server := connected(t, l)
			go func() { took <- send(t, client, server, n/2) }()
		}
		for range 2 {
			if d := <-took; d < 950*ms || d > 1010*ms {
				t.Errorf("half of what fills the link for a second took %v beside the other half", d)
			}
		}
		if l.Sent() != n {
			t.Errorf("%d bytes are counted, %d were sent", l.Sent(), n)
		}
	})
}

// TestWindow: what a reader does not take stops the writer.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(Shape{RTT: 20 * ms}, "", nil)
		client, _ := connected(t, l)
		go func() { _, _ = client.Write(make([]byte, 2*Window)) }() // ends with the connection
		time.Sleep(time.Second)
		synctest.Wait()
		if l.Sent() > Window {
			t.Errorf("%d bytes are on their way, more than %d", l.Sent(), Window)
		}
	})
}

// TestServes: real connections, with requests and answers whose ends are told by half a close.
func TestServes(t *testing.T) {
	body := strings.Repeat("layers ", 1<<20)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body) // a failure is an answer that is too short
	}))
	t.Cleanup(s.Close)
	l, err := New(Shape{RTT: 2 * ms}, strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Serve(ctx) }()
	r, err := http.Post("http://"+l.Addr(), "", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || !bytes.Equal(got, []byte(body)) {
		t.Errorf("%d bytes came back of %d: %v", len(got), len(body), err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Serve ended with %v", err)
	}
}
