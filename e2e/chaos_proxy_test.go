package e2e

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// troubled stands between a mount and a real S3 server and does to requests what networks, proxies and
// overloaded servers do.
type troubled struct {
	forward *httputil.ReverseProxy
	url     string
	on      atomic.Bool

	mu       sync.Mutex // guards following
	r        *rand.Rand
	done     map[string]int
	listings map[string][]byte // as they were before
}

func newTroubled(t testing.TB, c bucket.Config, seed uint64) *troubled {
	t.Helper()
	to, err := url.Parse(c.EndpointURL)
	must(t, err)
	p := &troubled{r: rand.New(rand.NewPCG(seed, 3)), done: map[string]int{}, listings: map[string][]byte{}}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// faults are what may happen to a request.
func (p *troubled) faults() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"500":           s3Error(http.StatusInternalServerError, "InternalError"),
		"503":           s3Error(http.StatusServiceUnavailable, "SlowDown"),
		"revoked":       s3Error(http.StatusForbidden, "InvalidAccessKeyId"),
		"expired":       s3Error(http.StatusBadRequest, "ExpiredToken"),
		"clock":         s3Error(http.StatusForbidden, "RequestTimeTooSkewed"),
		"reset":         func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"stall":         p.stall,
		"reply lost":    p.loseReply,
		"cut":           p.change(func(b []byte) []byte { return b[:len(b)/2] }),
		"flipped bit":   p.change(p.flip),
		"other length":  p.change(func(b []byte) []byte { return append(b, "more"...) }),
		"stale listing": p.staleListing,
	}
}

func s3Error(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>as the test wants it</Message></Error>")
	}
}

// ServeHTTP lets one request of some through a fault.
func (p *troubled) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if fault := p.choose(); fault != nil {
		fault(w, r)
		return
	}
	p.forward.ServeHTTP(w, r)
}

func (p *troubled) choose() http.HandlerFunc {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.on.Load() || p.r.IntN(8) > 0 {
		return nil
	}
	names := []string{
		"500", "503", "revoked", "expired", "clock", "reset", "stall", "reply lost", "cut", "flipped bit", "other length", "stale listing",
	}
	name := names[p.r.IntN(len(names))]
	p.done[name]++
	return p.faults()[name]
}

// stall lets a request wait.
func (p *troubled) stall(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(3 * time.Second):
		p.forward.ServeHTTP(w, r)
	}
}

// loseReply does what is asked for, and does not say so.
func (p *troubled) loseReply(_ http.ResponseWriter, r *http.Request) {
	p.forward.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// change answers with another body than the server does.
func (p *troubled) change(f func([]byte) []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		p.forward.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		if r.Method == http.MethodGet && len(body) > 0 && strings.Contains(r.URL.Path, "/blobs/") {
			body = f(bytes.Clone(body)) // the lengths of the header stay
		}
		p.send(w, answer, body)
	}
}

func (p *troubled) send(w http.ResponseWriter, answer *httptest.ResponseRecorder, body []byte) {
	for k, v := range answer.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(answer.Code)
	if _, err := w.Write(body); errors.Is(err, http.ErrContentLength) || len(body) < answer.Body.Len() {
		panic(http.ErrAbortHandler)
	}
}

func (p *troubled) flip(b []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b[p.r.IntN(len(b))] ^= 1 << p.r.IntN(8)
	return b
}

// staleListing shows a listing as it was when it was asked for last.
func (p *troubled) staleListing(w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	p.forward.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	if r.URL.Query().Get("list-type") == "2" && answer.Code == http.StatusOK {
		p.mu.Lock()
		key := r.URL.Query().Get("prefix") + r.URL.Query().Get("max-keys")
		old, ok := p.listings[key]
		p.listings[key] = bytes.Clone(body)
		p.mu.Unlock()
		if ok {
			body = old
			answer.Header().Del("Content-Length")
		}
	}
	p.send(w, answer, body)
}
