package bucket_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// listed is one page of a server's listing.
type listed struct {
	encoding string   // of the keys, as the server says
	keys     []string // as the server writes them
	more     bool
	token    string // to the next page
}

func (l listed) xml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<ListBucketResult><Name>b</Name><IsTruncated>%v</IsTruncated>", l.more)
	fmt.Fprintf(&b, "<EncodingType>%s</EncodingType><NextContinuationToken>%s</NextContinuationToken>", l.encoding, l.token)
	for _, key := range l.keys {
		b.WriteString("<Contents><Key>")
		_ = xml.EscapeText(&b, []byte(key))
		b.WriteString("</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;e&quot;</ETag><Size>3</Size></Contents>")
	}
	return strings.ReplaceAll(b.String()+"</ListBucketResult>", "<EncodingType></EncodingType>", "")
}

// lister is a client of a server whose pages are found by the token that asks for them.
func lister(t *testing.T, pages map[string]listed) (*bucket.Client, *fault) {
	t.Helper()
	f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		resp := answer(r, http.StatusOK, "")
		resp.Body = io.NopCloser(strings.NewReader(pages[r.URL.Query().Get("continuation-token")].xml()))
		return resp, nil
	}}
	return buckettest.OpenWith(t, at("http://s3.test"), bucket.Options{Transport: f}), f
}

// namesOf lists names until an error.
func namesOf(t *testing.T, c *bucket.Client) (names []string, err error) {
	t.Helper()
	for n, err := range c.ListNames(t.Context(), "") {
		if err != nil {
			return names, err
		}
		names = append(names, n.Name)
	}
	return names, nil
}

func TestListings(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pages map[string]listed
		want  []string
		err   string
	}{
		"empty":           {map[string]listed{"": {}}, nil, ""},
		"in any order":    {map[string]listed{"": {keys: []string{"manifests/b", "manifests/c", "manifests/a"}}}, []string{"b", "c", "a"}, ""},
		"repeated":        {map[string]listed{"": {keys: []string{"manifests/a", "manifests/a"}, more: true, token: "2"}, "2": {keys: []string{"manifests/a"}}}, []string{"a", "a", "a"}, ""},
		"an empty page":   {map[string]listed{"": {more: true, token: "2"}, "2": {keys: []string{"manifests/a"}}}, []string{"a"}, ""},
		"odd tokens":      {map[string]listed{"": {more: true, token: "a+b/c= %"}, "a+b/c= %": {keys: []string{"manifests/a"}}}, []string{"a"}, ""},
		"a last token":    {map[string]listed{"": {keys: []string{"manifests/a"}, token: "2"}}, []string{"a"}, ""},
		"foreign keys":    {map[string]listed{"": {keys: []string{"manifests/", "manifests/folder/", "other/a", "manifests/a"}}}, []string{"a"}, ""},
		"encoded":         {map[string]listed{"": {encoding: "url", keys: []string{"manifests/a+b%2Bc%20d%25e%2Ff%3Ag", "manifests/gr%C3%B6%C3%9Fe"}}}, []string{"a b+c d%e/f:g", "größe"}, ""},
		"not encoded":     {map[string]listed{"": {keys: []string{"manifests/a+b%2Bc%zz ü"}}}, []string{"a+b%2Bc%zz ü"}, ""},
		"badly encoded":   {map[string]listed{"": {encoding: "url", keys: []string{"manifests/a%zz"}}}, nil, "not URL-encoded"},
		"no way on":       {map[string]listed{"": {keys: []string{"manifests/a"}, more: true}}, nil, "more to list"},
		"round in circle": {map[string]listed{"": {more: true, token: "2"}, "2": {keys: []string{"manifests/a"}, more: true, token: "2"}}, nil, "more to list"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c, _ := lister(t, tc.pages)
			got, err := namesOf(t, c)
			if !slices.Equal(got, tc.want) {
				t.Errorf("listed %q, want %q", got, tc.want)
			}
			if (err == nil) != (tc.err == "") || err != nil && (!strings.Contains(err.Error(), tc.err) || errors.Is(err, bucket.ErrUnreachable)) {
				t.Errorf("%v, want %q", err, tc.err)
			}
		})
	}
}

// TestListingOfSomethingElse must not read as an empty bucket, of which everything is gone.
func TestListingOfSomethingElse(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "<html><body>Welcome</body></html>", "<ListBucketResult></ListBucketResult>", `{"ok":true}`} {
		c := buckettest.OpenWith(t, at(serve(t, page(200, nil, body))), bucket.Options{})
		if got, err := namesOf(t, c); err == nil {
			t.Errorf("%q is listed as %q", body, got)
		}
	}
}

// TestPageSize is for tests that want many pages; else the server chooses.
func TestPageSize(t *testing.T) {
	t.Parallel()
	for size, want := range map[int32]string{0: "", 7: "7"} {
		rec := &recorder{}
		c := buckettest.OpenWith(t, at("http://s3.test"), bucket.Options{Transport: rec, PageSize: size})
		_, _ = namesOf(t, c)
		if got := rec.requests[0].URL.Query().Get("max-keys"); got != want {
			t.Errorf("pages of %d: max-keys=%s", size, got)
		}
	}
}

// TestEndpointsOfAWS are those that type=s3 does not know.
func TestEndpointsOfAWS(t *testing.T) {
	t.Parallel()
	for want, set := range map[string]func(n *bucket.Network){
		"bucket.s3.eu-west-1.amazonaws.com":            func(*bucket.Network) {},
		"bucket.s3.dualstack.eu-west-1.amazonaws.com":  func(n *bucket.Network) { n.Dualstack = true },
		"bucket.s3-accelerate.amazonaws.com":           func(n *bucket.Network) { n.Accelerate = true },
		"bucket.s3-accelerate.dualstack.amazonaws.com": func(n *bucket.Network) { n.Dualstack, n.Accelerate = true, true },
	} {
		cfg := at("")
		cfg.Bucket, cfg.Region = "bucket", "eu-west-1"
		set(&cfg.Network)
		rec := &recorder{}
		if _, err := buckettest.OpenWith(t, cfg, bucket.Options{Transport: rec}).StatBlob(t.Context(), digest.FromString("x")); err != nil {
			t.Fatal(err)
		}
		if got := rec.requests[0].URL.Host; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	}
}
