package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// plainS3 looks into a bucket with nothing of ours in between, as an administrator or a lifecycle rule does.
type plainS3 struct {
	t    testing.TB
	c    bucket.Config
	http *http.Client
}

func newPlainS3(t testing.TB, c bucket.Config) *plainS3 {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return &plainS3{t: t, c: c, http: &http.Client{Transport: transport}}
}

// request makes a request, signed with version 4 of AWS's scheme, and returns the body of an answer of 2xx.
func (p *plainS3) request(method, key string, query url.Values, body ...byte) ([]byte, http.Header, error) {
	u, err := url.Parse(p.c.EndpointURL)
	if err != nil {
		return nil, nil, err
	}
	u.Path = "/" + p.c.Bucket + "/" + key
	u.RawPath = strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(u.Path), "%2F", "/"), "+", "%20")
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	r, err := http.NewRequestWithContext(p.t.Context(), method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	p.sign(r)
	resp, err := p.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, key, resp.Status, b)
	}
	return b, resp.Header, err
}

func (p *plainS3) sign(r *http.Request) {
	const payload = "UNSIGNED-PAYLOAD"
	now := time.Now().UTC()
	stamp, scope := now.Format("20060102T150405Z"), now.Format("20060102")+"/"+p.c.Region+"/s3/aws4_request"
	r.Header.Set("X-Amz-Date", stamp)
	r.Header.Set("X-Amz-Content-Sha256", payload)
	const signed = "host;x-amz-content-sha256;x-amz-date"
	canonical := strings.Join([]string{
		r.Method, r.URL.EscapedPath(), r.URL.RawQuery,
		"host:" + r.URL.Host, "x-amz-content-sha256:" + payload, "x-amz-date:" + stamp, "", signed, payload,
	}, "\n")
	key := []byte("AWS4" + p.c.SecretAccessKey)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	sum := sha256.Sum256([]byte(canonical))
	signature := mac(key, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(sum[:]))
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x",
		p.c.AccessKeyID, scope, signed, signature))
}

func mac(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

// do is a request that must succeed.
func (p *plainS3) do(method, key string, query url.Values, body ...byte) ([]byte, http.Header) {
	p.t.Helper()
	b, header, err := p.request(method, key, query, body...)
	must(p.t, err)
	return b, header
}

// listed is an object of a listing.
type listed struct {
	Key          string
	Size         int64
	LastModified time.Time
}

// list lists the objects whose keys begin with prefix.
func (p *plainS3) list(prefix string) map[string]listed {
	p.t.Helper()
	all := map[string]listed{}
	query := url.Values{"list-type": {"2"}, "prefix": {prefix}}
	for {
		var page struct {
			Contents              []listed
			NextContinuationToken string
		}
		b, _ := p.do(http.MethodGet, "", query)
		must(p.t, xml.Unmarshal(b, &page))
		for _, o := range page.Contents {
			all[o.Key] = o
		}
		if page.NextContinuationToken == "" {
			return all
		}
		query.Set("continuation-token", page.NextContinuationToken)
	}
}

// blobs lists the blobs.
func (p *plainS3) blobs() map[digest.Digest]listed {
	p.t.Helper()
	all := map[digest.Digest]listed{}
	for key, o := range p.list(p.c.Prefix + p.c.BlobsPrefix) {
		all[digest.Digest(strings.TrimPrefix(key, p.c.Prefix+p.c.BlobsPrefix))] = o
	}
	return all
}

// blob reads a blob.
func (p *plainS3) blob(d digest.Digest) []byte {
	p.t.Helper()
	b, _ := p.do(http.MethodGet, p.c.Prefix+p.c.BlobsPrefix+d.String(), nil)
	return b
}

// put writes a blob.
func (p *plainS3) put(b []byte) {
	p.t.Helper()
	p.do(http.MethodPut, p.c.Prefix+p.c.BlobsPrefix+digest.FromBytes(b).String(), nil, b...)
}

// remove deletes a blob, as a lifecycle rule does.
func (p *plainS3) remove(d digest.Digest) {
	p.t.Helper()
	p.do(http.MethodDelete, p.c.Prefix+p.c.BlobsPrefix+d.String(), nil)
}

// plainName is a name object: its CacheConfig, and the descriptor of the layout's manifest if it has one.
type plainName struct {
	config   []byte
	manifest *ocispec.Descriptor
}

// names reads all name objects.
func (p *plainS3) names() map[string]plainName {
	p.t.Helper()
	all := map[string]plainName{}
	prefix := p.c.Prefix + p.c.ManifestsPrefix
	for key := range p.list(prefix) {
		b, header := p.do(http.MethodGet, key, nil)
		n := plainName{config: b}
		if text := header.Get("X-Amz-Meta-Oci-Descriptor"); text != "" {
			must(p.t, json.Unmarshal([]byte(text), &n.manifest))
		}
		all[strings.TrimPrefix(key, prefix)] = n
	}
	return all
}

// closure lists what a name refers to: the blobs of its CacheConfig, and its manifest with all that it names.
func (p *plainS3) closure(n plainName) map[digest.Digest]int64 {
	p.t.Helper()
	reached := map[digest.Digest]int64{}
	var config struct {
		Layers []struct {
			Blob        digest.Digest
			Annotations struct{ Size int64 }
		}
	}
	must(p.t, json.Unmarshal(n.config, &config))
	for _, l := range config.Layers {
		reached[l.Blob] = l.Annotations.Size
	}
	if n.manifest == nil {
		return reached
	}
	reached[n.manifest.Digest] = n.manifest.Size
	var m struct {
		Config            ocispec.Descriptor
		Layers, Manifests []ocispec.Descriptor
	}
	must(p.t, json.Unmarshal(p.blob(n.manifest.Digest), &m))
	for _, d := range append(append(m.Layers, m.Manifests...), m.Config) {
		if d.Digest != "" {
			reached[d.Digest] = d.Size
		}
	}
	return reached
}

// parts counts the parts of uploads that nobody ended.
func (p *plainS3) parts() int {
	p.t.Helper()
	var uploads struct {
		Upload []struct{ Key, UploadId string }
	}
	b, _ := p.do(http.MethodGet, "", url.Values{"uploads": {""}})
	must(p.t, xml.Unmarshal(b, &uploads))
	n := 0
	for _, u := range uploads.Upload {
		var parts struct{ Part []struct{ PartNumber int } }
		b, _, err := p.request(http.MethodGet, u.Key, url.Values{"uploadId": {u.UploadId}})
		if err == nil { // else it has ended meanwhile
			must(p.t, xml.Unmarshal(b, &parts))
			n += len(parts.Part)
		}
	}
	return n
}

// wantWhole fails if a name refers to a blob that is not there or of another size.
func (p *plainS3) wantWhole() map[string]plainName {
	p.t.Helper()
	names, blobs := p.names(), p.blobs()
	for name, n := range names {
		if n.manifest != nil {
			if _, ok := blobs[n.manifest.Digest]; !ok {
				p.t.Errorf("name %q refers to the manifest %s, which is not in the bucket", name, n.manifest.Digest)
				continue
			}
		}
		for d, size := range p.closure(n) {
			if o, ok := blobs[d]; !ok || o.Size != size {
				p.t.Errorf("name %q refers to %s of %d bytes; in the bucket it is %+v", name, d, size, o)
			}
		}
	}
	return names
}

// wantRight fails if a blob that was not seen before has wrong bytes.
func (p *plainS3) wantRight(seen map[digest.Digest]bool) {
	p.t.Helper()
	for d := range p.blobs() {
		if !seen[d] && d.Validate() == nil && digest.FromBytes(p.blob(d)) != d {
			p.t.Errorf("%s has other bytes in the bucket", d)
		}
		seen[d] = true
	}
}
