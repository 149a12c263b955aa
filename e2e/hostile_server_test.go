package e2e

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// lie is an object as an attacker has it: what it begins with, and how large it says that it is. Beyond its
// bytes there are spaces, without end.
type lie struct {
	body       []byte
	size       int64
	descriptor string // the metadata of a name
}

// attacker is an S3 server that says what it was told to. It is filled before it is asked.
type attacker struct {
	url     string
	objects map[string]lie
}

func newAttacker(t testing.TB) *attacker {
	t.Helper()
	a := &attacker{objects: map[string]lie{}}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	a.url = s.URL
	return a
}

func (a *attacker) config() bucket.Config {
	c := bucket.Default()
	c.Bucket, c.Region, c.EndpointURL, c.UsePathStyle = "evil", "us-east-1", a.url, true
	c.AccessKeyID, c.SecretAccessKey = "key", "secret"
	return c
}

func (a *attacker) name(name string, body []byte) { a.objects["manifests/"+name] = honest(body) }

func (a *attacker) blob(d digest.Digest, l lie) { a.objects["blobs/"+d.String()] = l }

// honest is an object without a lie.
func honest(body []byte) lie { return lie{body: body, size: int64(len(body))} }

func (a *attacker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, _ := strings.CutPrefix(r.URL.Path, "/evil/")
	switch {
	case r.Method == http.MethodPut:
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"e"`)
	case r.URL.Query().Get("list-type") == "2":
		a.list(w, r.URL.Query().Get("prefix"))
	default:
		a.get(w, r, key)
	}
}

func (a *attacker) list(w http.ResponseWriter, prefix string) {
	type object struct {
		Key, LastModified, ETag string
		Size                    int64
	}
	page := struct {
		XMLName      xml.Name `xml:"ListBucketResult"`
		Name         string
		EncodingType string
		IsTruncated  bool
		Contents     []object
	}{Name: "evil", EncodingType: "url"}
	for key, l := range a.objects {
		if strings.HasPrefix(key, prefix) {
			page.Contents = append(page.Contents, object{url.QueryEscape(key), "2026-01-02T03:04:05.000Z", `"e"`, l.size})
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(page)
}

func (a *attacker) get(w http.ResponseWriter, r *http.Request, key string) {
	l, ok := a.objects[key]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	from, to := int64(0), l.size
	h := w.Header()
	h.Set("ETag", `"e"`)
	h.Set("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
	if l.descriptor != "" {
		h.Set("X-Amz-Meta-Oci-Descriptor", l.descriptor)
	}
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); n == 2 {
		to++
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, l.size))
		h.Set("Content-Length", strconv.FormatInt(to-from, 10))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		h.Set("Content-Length", strconv.FormatInt(l.size, 10))
	}
	if r.Method == http.MethodGet {
		l.send(w, from, to)
	}
}

// send writes the bytes of a range, until nobody reads them.
func (l lie) send(w io.Writer, from, to int64) {
	spaces := []byte(strings.Repeat(" ", 1<<16))
	for from < to {
		b := spaces
		if from < int64(len(l.body)) {
			b = l.body[from:]
		}
		n, err := w.Write(b[:min(int64(len(b)), to-from)])
		if err != nil {
			return
		}
		from += int64(n)
	}
}
