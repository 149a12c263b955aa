package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
)

// padded is the CacheConfig of a real build with n more layers: a chain of them, with the records that BuildKit
// has for as many steps, four for three layers. Their blobs are tiny; it returns them as well. Their media
// types may be that much longer than real ones, so that less layers do.
func padded(t testing.TB, body []byte, n, longer int) (config []byte, blobs [][]byte) {
	t.Helper()
	var c map[string][]any
	must(t, json.Unmarshal(body, &c))
	layers, records := len(c["layers"]), len(c["records"])
	for i := range n {
		b := fmt.Appendf(nil, "padding %d", i)
		blobs = append(blobs, b)
		parent := -1
		if i > 0 {
			parent = layers + i - 1
		}
		c["layers"] = append(c["layers"], map[string]any{
			"blob": digest.FromBytes(b), "parent": parent,
			"annotations": map[string]any{
				"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip" + strings.Repeat("+", longer), "diffID": digest.FromString("diff " + string(b)),
				"size": len(b), "createdAt": "2026-01-02T03:04:05.678901234Z",
			},
		})
		record := map[string]any{
			"digest": digest.FromString("record " + string(b)),
			"layers": []any{map[string]any{"layer": layers + i, "createdAt": "2026-01-02T03:04:05.678901234Z"}},
		}
		if i > 0 {
			record["inputs"] = [][]any{{map[string]any{"link": records}}}
		}
		records = len(c["records"])
		c["records"] = append(c["records"], record)
		if i%3 == 0 {
			c["records"] = append(c["records"], map[string]any{"digest": digest.FromString("source " + string(b))})
		}
	}
	config, err := json.Marshal(c)
	must(t, err)
	return config, blobs
}

// TestLargeCaches: BuildKit's type=local refuses a manifest or config of more than 1 MiB. What is synthesised of a
// cache stays below that for as long as can be; beyond, log and status say so, and a build does without, while
// type=s3 still imports it.
func TestLargeCaches(t *testing.T) {
	limit, most, longer := 500, 620, 1600
	if os.Getenv(long) != "" {
		limit, most, longer = 3400, 4200, 0
	}
	config := anyServer(t).config(t)
	p := newPlainS3(t, config)
	b, other, dir := newBuilder(t), newBuilder(t), newContext(t)
	b.build(dir, "--export-cache", "type=s3,mode=max,name=real,"+csv(config))
	body := p.names()["real"].config
	p.putPadding(body, most, longer)
	imports := func(n int) (cached bool, h *host) {
		t.Helper()
		name := fmt.Sprint("large-", n)
		body, _ := padded(t, body, n, longer)
		p.do(http.MethodPut, config.Prefix+config.ManifestsPrefix+name, nil, body...)
		h = newHost(t, config)
		other.forget()
		cached = other.build(dir, "--import-cache", "type=local,src="+h.path(name)).ran() == 0
		l, err := cacheconfig.Import(body)
		must(t, err)
		t.Logf("%d more layers: CacheConfig %d, manifest %d, config %d bytes, imported %v", n, len(body), len(l.Manifest), len(l.Config), cached)
		return cached, h
	}
	if cached, h := imports(limit); !cached || len(h.status().Large) > 0 {
		t.Errorf("%d more layers: cached %v, large %v", limit, cached, h.status().Large)
	}
	cached, h := imports(most)
	if why := h.status().Large[fmt.Sprint("large-", most)]; cached || !strings.Contains(why, "type=s3") || !strings.Contains(h.log(), why) {
		t.Errorf("%d more layers: cached %v, and status says %q", most, cached, why)
	}
	other.forget()
	other.build(dir, "--import-cache", fmt.Sprintf("type=s3,name=large-%d,%s", most, csv(config))).wantAllCached(t)
	if os.Getenv(long) != "" {
		t.Logf("the limit is %d more layers", limit+sort.Search(most-limit, func(n int) bool {
			cached, h := imports(limit + n + 1)
			h.umount()
			return !cached
		}))
	}
}

// putPadding writes the blobs of a padded cache.
func (p *plainS3) putPadding(body []byte, n, longer int) {
	p.t.Helper()
	_, blobs := padded(p.t, body, n, longer)
	var g errgroup.Group
	g.SetLimit(16)
	for _, blob := range blobs {
		g.Go(func() error { p.put(blob); return nil })
	}
	must(p.t, g.Wait())
}
