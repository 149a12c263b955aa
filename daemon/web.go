package daemon

import (
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// The web page of a mount, if it is asked for. Nothing can be changed there, and nothing but this is answered:
//
//	GET /            what status and ls show, for a browser
//	GET /metrics     what status counts, for Prometheus
//	GET /style.css
//
// Who may connect may read it: there is no password. docs/decisions/0011-web-page.md says what follows from that.

// webConns is how many connections are served at once; further ones wait.
const webConns = 32

// ParseWebAddress reads [HOST:]PORT. Without a host it is this machine alone; port 0 takes a free one.
func ParseWebAddress(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = "", s
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%q is no address to listen on: write it as PORT or HOST:PORT, the port being a number up to 65535", s)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// listenWeb takes the address of the web page, ahead of the mount.
func (d *Daemon) listenWeb() error {
	if d.config.Web == "" {
		return nil
	}
	l, err := net.Listen("tcp", d.config.Web)
	if err != nil {
		return fmt.Errorf("web page: %w; choose another address with --web", err)
	}
	d.web = netutil.LimitListener(l, webConns)
	d.undo.add(func() error { _ = l.Close(); return nil }) // closed by the server already, usually
	return nil
}

// webURL is where the web page is; empty if there is none.
func (d *Daemon) webURL() string {
	if d.web == nil {
		return ""
	}
	at, ok := d.web.Addr().(*net.TCPAddr)
	if ok && at.IP.IsUnspecified() {
		return fmt.Sprintf("http://%s/", net.JoinHostPort(hostname(), strconv.Itoa(at.Port)))
	}
	return fmt.Sprintf("http://%s/", d.web.Addr())
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// serveWeb answers browsers and Prometheus.
func (d *Daemon) serveWeb() *http.Server {
	s := &http.Server{
		Handler:           guard{next: d.webPages(), names: d.webNames()},
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelDebug), // anybody can cause errors
	}
	d.answerOn(d.web, s, "web page")
	return s
}

// webNames are the host names that the page may be called by, besides those of guard.
func (d *Daemon) webNames() []string {
	host, _, _ := net.SplitHostPort(d.config.Web) // it was parsed
	return []string{host, hostname()}
}

//go:embed web
var webFiles embed.FS

func (d *Daemon) webPages() http.Handler {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		statusCollector{d.Status},
	)
	page := template.Must(template.New("page.html").Funcs(pageFuncs).ParseFS(webFiles, "web/page.html"))
	one := make(chan struct{}, 1) // a page of many names takes a processor for a while
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		select {
		case one <- struct{}{}:
			defer func() { <-one }()
			d.showPage(w, r, page)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, webFiles, "web/style.css")
	})
	return mux
}
