package bucket_test

import (
	"encoding/pem"
	"errors"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// page is a server that answers everything with one page.
func page(status int, header http.Header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func s3Error(status int, code, message string) http.HandlerFunc {
	return page(status, http.Header{"Content-Type": {"application/xml"}, "X-Amz-Bucket-Region": {"eu-north-1"}},
		"<Error><Code>"+code+"</Code><Message>"+message+"</Message></Error>")
}

// wantKind makes sure that err is of a kind that callers tell apart, or of none if want is nil.
func wantKind(t *testing.T, err, want error) {
	t.Helper()
	for _, kind := range []error{fs.ErrNotExist, bucket.ErrDenied, bucket.ErrUnreachable} {
		if errors.Is(err, kind) != errors.Is(want, kind) {
			t.Errorf("%v\nis %q: %v", err, kind, errors.Is(err, kind))
		}
	}
}

func wantCheck(t *testing.T, c bucket.Config, kind error, texts ...string) {
	t.Helper()
	err := buckettest.OpenWith(t, c, bucket.Options{}).Check(t.Context())
	if err == nil {
		t.Fatal("Check: no error")
	}
	for _, text := range append(texts, `"`+c.Bucket+`"`) {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("Check: %v\nwant %q in it", err, text)
		}
	}
	wantKind(t, err, kind)
	if strings.Contains(err.Error(), c.SecretAccessKey) && c.SecretAccessKey != "" {
		t.Errorf("Check tells the secret: %v", err)
	}
}

func TestCheckOnRealServer(t *testing.T) {
	t.Parallel()
	cfg := buckettest.Start(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	tests := map[string]struct {
		edit func(c *bucket.Config)
		kind error
		text string
	}{
		"no bucket":    {func(c *bucket.Config) { c.Bucket = "nonesuch" }, nil, "create it"},
		"bad bucket":   {func(c *bucket.Config) { c.Bucket = "N" }, nil, "no name for a bucket"},
		"key":          {func(c *bucket.Config) { c.AccessKeyID = "AKIANOBODY" }, bucket.ErrDenied, "check access_key_id"},
		"secret":       {func(c *bucket.Config) { c.SecretAccessKey = "wrong-secret" }, bucket.ErrDenied, "check secret_access_key"},
		"token":        {func(c *bucket.Config) { c.SessionToken = "wrong-token" }, nil, "check session_token"},
		"region":       {func(c *bucket.Config) { c.Region = "eu-west-1" }, nil, "set region=us-east-1"},
		"refused":      {func(c *bucket.Config) { c.EndpointURL = closed.URL }, bucket.ErrUnreachable, "nothing listens there"},
		"https":        {func(c *bucket.Config) { c.EndpointURL = "https" + strings.TrimPrefix(c.EndpointURL, "http") }, bucket.ErrUnreachable, "use http://"},
		"name":         {func(c *bucket.Config) { c.EndpointURL, c.UsePathStyle = "http://s3.invalid", true }, bucket.ErrUnreachable, "s3.invalid"},
		"virtual host": {func(c *bucket.Config) { c.EndpointURL, c.UsePathStyle = "http://s3.invalid", false }, bucket.ErrUnreachable, "use_path_style=true"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cfg
			tc.edit(&c)
			wantCheck(t, c, tc.kind, tc.text)
		})
	}
}

func TestCheckAnswers(t *testing.T) {
	t.Parallel()
	html := http.Header{"Content-Type": {"text/html"}}
	const notS3 = "not as S3 does"
	tests := map[string]struct {
		serve http.HandlerFunc
		kind  error
		text  string
	}{
		"website":         {page(200, html, "<html><body>Welcome</body></html>"), nil, notS3},
		"website's 404":   {page(404, html, "<!doctype html><p>Not here<br>"), nil, notS3},
		"website's login": {page(403, html, "<html>log in</html>"), bucket.ErrDenied, notS3},
		"website moved":   {page(301, http.Header{"Location": {"/login"}}, ""), nil, notS3},
		"json":            {page(200, http.Header{"Content-Type": {"application/json"}}, `{"ok":true}`), nil, notS3},
		"denied":          {s3Error(403, "AccessDenied", "Access Denied"), bucket.ErrDenied, "s3:ListBucket"},
		"expired":         {s3Error(400, "ExpiredToken", "The provided token has expired."), nil, "renew session_token"},
		"clock":           {s3Error(403, "RequestTimeTooSkewed", "too large"), bucket.ErrDenied, "clock"},
		"moved":           {s3Error(301, "PermanentRedirect", "use another endpoint"), nil, "set region=eu-north-1"},
		"overloaded":      {s3Error(503, "SlowDown", "reduce your rate"), nil, "try again later"},
		"proxy":           {page(502, html, "<html>bad gateway</html>"), nil, "try again later"},
		"teapot":          {s3Error(418, "Teapot", "short and stout"), nil, "Teapot: short and stout"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tc.serve)
			t.Cleanup(server.Close)
			wantCheck(t, at(server.URL), tc.kind, tc.text)
		})
	}
}

// at is a bucket at a server that is none.
// TestCheckListsNames: to find one key among all, some servers go through a million blobs.
func TestCheckListsNames(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query().Get("prefix")
		_, _ = w.Write([]byte("<ListBucketResult><Name>b</Name></ListBucketResult>"))
	}))
	defer server.Close()
	c := at(server.URL)
	c.Prefix = "team/"
	if err := buckettest.OpenWith(t, c, bucket.Options{}).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if prefix := <-asked; prefix != "team/manifests/" {
		t.Errorf("the check lists %q", prefix)
	}
}

func at(endpoint string) bucket.Config {
	c := base()
	c.EndpointURL, c.UsePathStyle = endpoint, true
	c.AccessKeyID, c.SecretAccessKey = "key", "very-secret"
	return c
}

func TestCheckSilence(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := buckettest.OpenWith(t, at("http://"+silent.Addr().String()), bucket.Options{})
	c.SetCheckWithin(50 * time.Millisecond)
	err = c.Check(t.Context())
	if !errors.Is(err, bucket.ErrUnreachable) || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("Check: %v", err)
	}
}

func TestCheckCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(page(200, nil, "hello"))
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.StartTLS()
	defer server.Close()
	wantCheck(t, at(server.URL), bucket.ErrUnreachable, "ca_bundle", "$AWS_CA_BUNDLE")

	file := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	named := at(server.URL)
	named.Network.CABundle = file
	wantCheck(t, named, nil, "not as S3 does")
	t.Setenv("AWS_CA_BUNDLE", file)
	wantCheck(t, at(server.URL), nil, "not as S3 does")

	for _, wrong := range []string{filepath.Join(t.TempDir(), "none.pem"), "/dev/null"} {
		named.Network.CABundle = wrong
		if _, err := bucket.Open(t.Context(), named, bucket.Options{}); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("ca_bundle=%s: %v", wrong, err)
		}
	}
}
