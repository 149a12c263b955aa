package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// vast is an S3 server with a bucket of many names with many layers each, which are made when they are asked for,
// so that a million blobs cost nothing. It answers what is asked to list names.
type vast struct {
	names, layers int
	manifests     map[string]int // by key, for which name
	calls         map[string]int
	gate          chan struct{} // guards calls
}

func newVast(names, layers int) *vast {
	v := &vast{names: names, layers: layers, manifests: map[string]int{}, calls: map[string]int{}, gate: make(chan struct{}, 1)}
	for i := range names {
		v.manifests[blobKey(digest.FromBytes(v.manifest(i)))] = i
	}
	return v
}

// start serves it, and gives the CSV with which it is reached.
func (v *vast) start(tb testing.TB) (csv string) {
	tb.Helper()
	s := httptest.NewServer(v)
	tb.Cleanup(s.Close)
	return "region=us-east-1,bucket=vast,use_path_style=true,access_key_id=key,secret_access_key=secret,endpoint_url=" + s.URL
}

func blobKey(d digest.Digest) string { return "blobs/" + d.String() }

func vastName(i int) string { return fmt.Sprintf("name%05d", i) }

// layer is a digest that looks like one; nobody hashes what has it.
func vastLayer(name, i int) digest.Digest {
	return digest.NewDigestFromEncoded(digest.SHA256, fmt.Sprintf("%056x%08x", name*0x9e3779b1, i))
}

func (v *vast) manifest(name int) []byte {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: "application/vnd.buildkit.cacheconfig.v0", Digest: vastLayer(name, 1<<20), Size: 1000},
	}
	for i := range v.layers - 2 { // with manifest and config they are as many blobs
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: vastLayer(name, i), Size: 1 << 20})
	}
	b, _ := json.Marshal(m)
	return b
}

func (v *vast) descriptor(name int) string {
	b := v.manifest(name)
	d, _ := json.Marshal(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(b), Size: int64(len(b))})
	return string(d)
}

var vastTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (v *vast) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/vast"), "/")
	v.gate <- struct{}{}
	v.calls[r.Method+" "+strings.SplitN(key, "/", 2)[0]]++
	<-v.gate
	w.Header().Set("Last-Modified", vastTime.Format(http.TimeFormat))
	w.Header().Set("ETag", `"e"`)
	name, isName := strings.CutPrefix(key, "manifests/")
	i, isManifest := v.manifests[key]
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.WriteHeader(http.StatusNotImplemented)
	case key == "":
		v.list(w, r)
	case isName:
		if _, err := fmt.Sscanf(name, "name%d", &i); err != nil || i >= v.names {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("x-amz-meta-oci-descriptor", v.descriptor(i))
		_, _ = w.Write([]byte("{}"))
	case isManifest:
		http.ServeContent(w, r, "", vastTime, bytes.NewReader(v.manifest(i)))
	case strings.HasPrefix(key, "blobs/"):
		w.Header().Set("Content-Length", strconv.Itoa(1<<20)) // for whom it is there
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// list lists names or blobs, a thousand at a time.
func (v *vast) list(w http.ResponseWriter, r *http.Request) {
	type object struct {
		Key, LastModified, ETag string
		Size                    int
	}
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Name                  string
		IsTruncated           bool
		NextContinuationToken string   `xml:",omitempty"`
		Contents              []object `xml:",omitempty"`
	}
	page.Name = "vast"
	q := r.URL.Query()
	size := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		size = n
	}
	all := v.names
	isBlobs := strings.HasPrefix(q.Get("prefix"), "blobs/")
	if isBlobs {
		all = v.names * v.layers
	}
	begin, _ := base64.StdEncoding.DecodeString(q.Get("continuation-token"))
	from, _ := strconv.Atoi(string(begin))
	for i := from; i < min(from+size, all); i++ {
		key, n := "manifests/"+vastName(i), 2
		if isBlobs {
			key, n = blobKey(v.blob(i/v.layers, i%v.layers)), 1<<20
		}
		page.Contents = append(page.Contents, object{key, vastTime.Format(time.RFC3339), `"e"`, n})
	}
	if page.IsTruncated = from+size < all; page.IsTruncated {
		page.NextContinuationToken = base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(from + size)))
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(page)
}

// blob is one of those that a name reaches.
func (v *vast) blob(name, i int) digest.Digest {
	switch i {
	case 0:
		return digest.FromBytes(v.manifest(name))
	case 1:
		return vastLayer(name, 1<<20)
	}
	return vastLayer(name, i-2)
}
