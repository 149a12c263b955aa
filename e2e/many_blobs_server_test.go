package e2e

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// manyBlobs is a bucket with many blobs, made in the folder of a real server: over its API that would take hours.
// All have the digests that they are counted by, and no bytes. The server goes through its whole folder for each
// page of a listing, which would take as long, so blobs are listed here.
type manyBlobs struct {
	t       testing.TB
	forward *httputil.ReverseProxy
	config  bucket.Config // by way of this
	made    time.Time     // older than any grace period

	mu      sync.Mutex // guards following
	objects []blobListed
}

// blobListed is a blob in a listing.
type blobListed struct {
	Key, LastModified, ETag string
	Size                    int64
}

func manyDigest(i int) digest.Digest {
	return digest.NewDigestFromEncoded(digest.SHA256, fmt.Sprintf("%064x", i))
}

// layersOfMany is how many layers each of the many names has. What they do not reach is of earlier exports.
const layersOfMany = 20

func manyName(i int) string { return fmt.Sprintf("name-%05d", i) }

// newManyBlobs fills a bucket: names with layers of their own, and blobs that no name reaches up to as many as there
// are to be.
func newManyBlobs(t testing.TB, blobs, names int) *manyBlobs {
	t.Helper()
	dir := t.TempDir()
	s, p, err := startEmbedded(t, dir)
	must(t, err)
	t.Cleanup(p.stop)
	c := s.config(t)
	to, err := url.Parse(c.EndpointURL)
	must(t, err)
	m := &manyBlobs{t: t, config: c, made: time.Now().Add(-30 * 24 * time.Hour)}
	m.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
		},
		ModifyResponse: m.note,
	}
	front := httptest.NewServer(m)
	t.Cleanup(front.Close)
	m.config.EndpointURL = front.URL
	m.fill(filepath.Join(dir, "data", "buckets", c.Bucket), blobs, names)
	return m
}

// fill writes the files of the bucket.
func (m *manyBlobs) fill(dir string, blobs, names int) {
	m.t.Helper()
	p := newPlainS3(m.t, m.config)
	p.put([]byte("probe"))
	p.do(http.MethodPut, m.config.ManifestsPrefix+"probe", nil, []byte("{}")...)
	blobPath, namePath := likeObject(m.t, dir, m.config.BlobsPrefix), likeObject(m.t, dir, m.config.ManifestsPrefix)
	const writers = 4
	var g errgroup.Group
	for w := range writers {
		g.Go(func() error {
			for i := w; i < blobs; i += writers {
				if err := os.WriteFile(blobPath(manyDigest(i).String()), nil, 0o644); err != nil {
					return err
				}
			}
			for i := w; i < names; i += writers {
				if err := os.WriteFile(namePath(manyName(i)), configOfMany(i), 0o644); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(m.t, g.Wait())
	p.do(http.MethodDelete, m.config.ManifestsPrefix+"probe", nil)
	for i := range blobs {
		m.add(m.config.Prefix+m.config.BlobsPrefix+manyDigest(i).String(), 0, m.made)
	}
}

// likeObject finds the one object below a prefix in the server's folder, which may give files an ending of its own,
// and tells where another one would be.
func likeObject(t testing.TB, dir, prefix string) func(key string) string {
	t.Helper()
	var found []string
	must(t, filepath.WalkDir(filepath.Join(dir, prefix), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found = append(found, path)
		}
		return err
	}))
	if len(found) != 1 {
		t.Fatalf("below %s are %q", prefix, found)
	}
	name := filepath.Base(found[0])
	ending := name[len("probe"):]
	if strings.HasPrefix(name, "sha256:") {
		ending = name[len(digest.FromString("probe")):]
	}
	return func(key string) string { return filepath.Join(filepath.Dir(found[0]), key+ending) }
}

// configOfMany is the CacheConfig of one of the many names.
func configOfMany(name int) []byte {
	type layer struct {
		Blob        digest.Digest  `json:"blob"`
		Parent      int            `json:"parent"`
		Annotations map[string]any `json:"annotations"`
	}
	type record struct {
		Digest digest.Digest    `json:"digest"`
		Layers []map[string]any `json:"layers"`
	}
	var config struct {
		Layers  []layer  `json:"layers"`
		Records []record `json:"records"`
	}
	const at = "2026-01-02T03:04:05Z"
	for i := range layersOfMany {
		d := manyDigest(name*layersOfMany + i)
		config.Layers = append(config.Layers, layer{d, i - 1, map[string]any{
			"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "diffID": d, "size": 0, "createdAt": at,
		}})
		config.Records = append(config.Records, record{d, []map[string]any{{"layer": i, "createdAt": at}}})
	}
	b, _ := json.Marshal(config)
	return b
}

// ServeHTTP lists blobs, and leaves all else to the server.
func (m *manyBlobs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("list-type") == "2" && strings.HasPrefix(q.Get("prefix"), m.config.Prefix+m.config.BlobsPrefix) {
		m.list(w, q)
		return
	}
	m.forward.ServeHTTP(w, r)
}

func (m *manyBlobs) list(w http.ResponseWriter, q url.Values) {
	page := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Name                  string
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []blobListed
	}{Name: m.config.Bucket}
	most := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		most = min(n, most)
	}
	m.mu.Lock()
	at := m.after(q.Get("continuation-token"))
	page.Contents = slices.Clone(m.objects[at:min(at+most, len(m.objects))])
	page.IsTruncated = at+most < len(m.objects)
	m.mu.Unlock()
	if page.IsTruncated {
		page.NextContinuationToken = page.Contents[most-1].Key
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(page)
}

// after is where the first object is whose key is greater. m.mu is held.
func (m *manyBlobs) after(key string) int {
	at, found := slices.BinarySearchFunc(m.objects, key, func(o blobListed, key string) int { return strings.Compare(o.Key, key) })
	if found {
		at++
	}
	return at
}

// note lists what is written. Nothing of a blob's is ever written in parts here, or deleted.
func (m *manyBlobs) note(r *http.Response) error {
	key, _ := strings.CutPrefix(r.Request.URL.Path, "/"+m.config.Bucket+"/")
	if r.Request.Method == http.MethodPut && r.StatusCode == http.StatusOK && strings.HasPrefix(key, m.config.Prefix+m.config.BlobsPrefix) {
		m.add(key, r.Request.ContentLength, time.Now())
	}
	return nil
}

func (m *manyBlobs) add(key string, size int64, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := blobListed{key, at.UTC().Format(time.RFC3339), `"e"`, size}
	i := m.after(key)
	if i > 0 && m.objects[i-1].Key == key {
		m.objects[i-1] = o
		return
	}
	m.objects = slices.Insert(m.objects, i, o)
}

func (m *manyBlobs) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.objects)
}
