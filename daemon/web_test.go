package daemon

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	layoutsync "github.com/layoutfs/layoutfs/sync"
)

func TestWebAddress(t *testing.T) {
	for in, want := range map[string]string{
		"9750":           "127.0.0.1:9750",
		":9750":          "127.0.0.1:9750",
		"0":              "127.0.0.1:0",
		"localhost:9750": "localhost:9750",
		"0.0.0.0:9750":   "0.0.0.0:9750",
		"[::1]:9750":     "[::1]:9750",
		"ci-7:9750":      "ci-7:9750",
	} {
		if got, err := ParseWebAddress(in); got != want || err != nil {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "localhost", "127.0.0.1", "::1", "65536", ":-1", "a:b:1", "1.2.3.4:http"} {
		if got, err := ParseWebAddress(in); err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

// TestWebGuard: nobody reads the page by way of somebody else's browser: neither as a page of another site nor under a
// name that was made to stand for our address. Whoever may connect reads it by its own address.
func TestWebGuard(t *testing.T) {
	shown := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("shown")) })
	g := guard{next: shown, names: []string{"ci-7.example.com", "ci-7", ""}}
	link := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
	for _, test := range []struct {
		host   string
		header http.Header
		want   int
	}{
		{"127.0.0.1:9750", nil, http.StatusOK},
		{"10.1.2.3", nil, http.StatusOK},
		{"[::1]:9750", nil, http.StatusOK},
		{"[fe80::1%25eth0]:9750", nil, http.StatusOK},
		{"localhost:9750", nil, http.StatusOK},
		{"LOCALHOST.:9750", nil, http.StatusOK},
		{"ci-7.example.com:9750", nil, http.StatusOK},
		{"ci-7", nil, http.StatusOK},
		{"evil.example:9750", nil, http.StatusMisdirectedRequest},
		{"127.0.0.1.evil.example:9750", nil, http.StatusMisdirectedRequest},
		{"localhost.evil.example", nil, http.StatusMisdirectedRequest},
		{"ci-7.evil.example", nil, http.StatusMisdirectedRequest},
		{"", nil, http.StatusMisdirectedRequest},
		{".", nil, http.StatusMisdirectedRequest},
		{":9750", nil, http.StatusMisdirectedRequest},
		{"127.0.0.1:9750", http.Header{"Sec-Fetch-Site": {"none"}}, http.StatusOK},
		{"127.0.0.1:9750", http.Header{"Sec-Fetch-Site": {"same-origin"}}, http.StatusOK},
		{"127.0.0.1:9750", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}}, http.StatusForbidden},
		{"127.0.0.1:9750", http.Header{"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"cors"}}, http.StatusForbidden},
		{"127.0.0.1:9750", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}}, http.StatusForbidden},
		{"127.0.0.1:9750", link, http.StatusOK},
		{"evil.example", link, http.StatusMisdirectedRequest},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host, r.Header = test.host, test.header
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != test.want || (w.Body.String() == "shown") != (test.want == http.StatusOK) {
			t.Errorf("Host %q, %v: %d %s", test.host, test.header, w.Code, w.Body)
		}
		for _, name := range []string{"Content-Security-Policy", "Cross-Origin-Resource-Policy", "X-Frame-Options", "X-Content-Type-Options"} {
			if w.Header().Get(name) == "" {
				t.Errorf("Host %q, %v: no %s", test.host, test.header, name)
			}
		}
	}
}

// TestWebChangesNothing: nothing but reading is answered.
func TestWebChangesNothing(t *testing.T) {
	d := &Daemon{engine: newFakeEngine(0), mount: newFakeMount(), log: discard}
	pages := d.webPages()
	for _, path := range []string{"/", "/metrics", "/style.css", flushPath, umountPath, statusPath, "/page.html", "/web/page.html"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
			w := httptest.NewRecorder()
			pages.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
}

// TestMetrics: what Prometheus gets is what status has, under names as Prometheus wants them, each described in
// docs/output.md.
func TestMetrics(t *testing.T) {
	doc, err := os.ReadFile("../docs/output.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("`"+metricsPrefix+"([a-z_]+)").FindAllStringSubmatch(string(doc), -1) {
		documented = append(documented, metricsPrefix+m[1])
	}
	slices.Sort(documented)
	documented = slices.Compact(documented)
	registry := prometheus.NewPedanticRegistry()
	s := Status{Mountpoint: "/mnt/\xff", Version: "v1", Status: layoutsync.Status{
		Names: 7, Broken: map[string]string{"a": "b"}, BucketUp: true, Staged: layoutsync.Count{Blobs: 2, Bytes: 3},
		Uploading: make([]layoutsync.Transfer, 4), Counters: layoutsync.Counters{FetchedBytes: 5}, LastError: &layoutsync.Failure{},
	}}
	registry.MustRegister(statusCollector{func() Status { return s }})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	var found []string
	values := map[string]float64{}
	for _, f := range families {
		found = append(found, f.GetName())
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	if diff := cmp.Diff(documented, found); diff != "" {
		t.Errorf("(-documented +found):\n%s", diff)
	}
	for name, want := range map[string]float64{
		"layoutfs_names": 7, "layoutfs_names_broken": 1, "layoutfs_bucket_up": 1, "layoutfs_blobs staged": 2, "layoutfs_blob_bytes staged": 3,
		"layoutfs_transfers up": 4, "layoutfs_transfers down": 0, "layoutfs_fetched_bytes_total": 5, "layoutfs_passthrough": 0,
		"layoutfs_disk_up": 1, "layoutfs_mount_info /mnt/\uFFFD": 1,
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s: %v, %t", name, got, ok)
		}
	}
}
