package bucket_test

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// unsigned is a bucket for which no credentials are given.
func unsigned() bucket.Config {
	c := at("http://s3.test")
	c.AccessKeyID, c.SecretAccessKey = "", ""
	return c
}

// write makes a file, and puts its path into the environment if key is given.
func write(t *testing.T, key, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	if key != "" {
		t.Setenv(key, path)
	}
	return path
}

// signedBy is the key that r is signed with, and the session that it is of.
func signedBy(r *http.Request) string {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(rest, "/")
	return key + " " + r.Header.Get("X-Amz-Security-Token")
}

func TestCredentialChain(t *testing.T) {
	cfg := buckettest.Start(t)
	none := cfg
	none.AccessKeyID, none.SecretAccessKey = "", ""
	wantCheck(t, none, bucket.ErrDenied, "no AWS credentials found", "$AWS_PROFILE", "no_sign_request")

	t.Setenv("AWS_ACCESS_KEY_ID", cfg.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", cfg.SecretAccessKey)
	if err := buckettest.OpenWith(t, none, bucket.Options{}).Check(t.Context()); err != nil {
		t.Errorf("Check with credentials from the environment: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "NOBODY")
	if err := buckettest.OpenWith(t, cfg, bucket.Options{}).Check(t.Context()); err != nil {
		t.Errorf("the parameters must have precedence over the environment: %v", err)
	}
	write(t, "AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "credentials"), fmt.Sprintf(
		"[default]\naws_access_key_id=X\naws_secret_access_key=X\n[ci]\naws_access_key_id=%s\naws_secret_access_key=%s\n",
		cfg.AccessKeyID, cfg.SecretAccessKey))
	none.Access.Profile = "ci"
	if err := buckettest.OpenWith(t, none, bucket.Options{}).Check(t.Context()); err != nil {
		t.Errorf("the profile that is named must have precedence over the environment: %v", err)
	}
	none.Access.Profile = "nonesuch"
	if _, err := bucket.Open(t.Context(), none, bucket.Options{}); err == nil || !strings.Contains(err.Error(), "nonesuch") {
		t.Errorf("Open with a profile that is not there: %v", err)
	}
}

// giver hands out credentials, new ones each time: the nth are KEYn and TOKENn.
type giver struct {
	n    atomic.Int64
	life time.Duration
}

func (g *giver) next() (key, token, expires string) {
	n := g.n.Add(1)
	return fmt.Sprintf("KEY%d", n), fmt.Sprintf("TOKEN%d", n), time.Now().Add(g.life).UTC().Format(time.RFC3339)
}

// json is what container and instance services and processes answer.
func (g *giver) json() string {
	key, token, expires := g.next()
	return fmt.Sprintf(`{"Version":1,"Code":"Success","AccessKeyId":%q,"SecretAccessKey":"secret","Token":%q,"SessionToken":%q,"Expiration":%q}`,
		key, token, token, expires)
}

func (g *giver) sts() string {
	key, token, expires := g.next()
	return fmt.Sprintf(`<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, key, token, expires)
}

func (g *giver) sso() string {
	key, token, _ := g.next()
	return fmt.Sprintf(`{"roleCredentials":{"accessKeyId":%q,"secretAccessKey":"secret","sessionToken":%q,"expiration":%d}}`,
		key, token, time.Now().Add(g.life).UnixMilli())
}

// serve is a service on loopback.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// sources are where the SDK finds credentials; each is set up in the environment of a test.
var sources = map[string]func(t *testing.T, g *giver){
	"container": func(t *testing.T, g *giver) {
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let me in")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "let me in" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			_, _ = io.WriteString(w, g.json())
		}))
	},
	"instance": func(t *testing.T, g *giver) {
		t.Setenv("AWS_EC2_METADATA_DISABLED", "")
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch name, ok := strings.CutPrefix(r.URL.Path, "/latest/meta-data/iam/security-credentials/"); {
			case r.URL.Path == "/latest/api/token":
				w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "600")
				_, _ = io.WriteString(w, "session")
			case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "session" || !ok:
				w.WriteHeader(http.StatusUnauthorized)
			case name == "":
				_, _ = io.WriteString(w, "role")
			default:
				_, _ = io.WriteString(w, g.json())
			}
		}))
	},
	"process": func(t *testing.T, g *giver) {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, g.json()) })
		dir := t.TempDir()
		// bash speaks TCP; the answer follows the header's empty line.
		script := write(t, "", filepath.Join(dir, "give"), fmt.Sprintf(
			"#!/bin/bash\nexec 3<>/dev/tcp/%s\nprintf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3\nsed '1,/^\\r$/d' <&3\n",
			strings.Replace(strings.TrimPrefix(url, "http://"), ":", "/", 1)))
		write(t, "AWS_CONFIG_FILE", filepath.Join(dir, "config"), "[default]\ncredential_process = "+script+"\n")
	},
	"web identity": func(t *testing.T, g *giver) {
		dir := t.TempDir()
		write(t, "AWS_WEB_IDENTITY_TOKEN_FILE", filepath.Join(dir, "token"), "jwt")
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ci")
		t.Setenv("AWS_ENDPOINT_URL_STS", serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("WebIdentityToken") != "jwt" || r.FormValue("RoleArn") == "" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.Header().Set("Content-Type", "text/xml")
			_, _ = io.WriteString(w, g.sts())
		}))
	},
	"single sign-on": func(t *testing.T, g *giver) {
		home := t.TempDir()
		t.Setenv("HOME", home)
		sum := sha1.Sum([]byte("corp"))
		write(t, "", filepath.Join(home, ".aws/sso/cache", hex.EncodeToString(sum[:])+".json"), fmt.Sprintf(
			`{"accessToken":"logged in","expiresAt":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
		write(t, "AWS_CONFIG_FILE", filepath.Join(home, "config"), `[profile sso]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = ci
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.awsapps.com/start
`)
		t.Setenv("AWS_PROFILE", "sso")
		t.Setenv("AWS_ENDPOINT_URL_SSO", serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Amz-Sso_bearer_token") != "logged in" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = io.WriteString(w, g.sso())
		}))
	},
}

// TestCredentialsAreKept: what is good for an hour is asked for once.
func TestCredentialsAreKept(t *testing.T) {
	for name, set := range sources {
		t.Run(name, func(t *testing.T) {
			g := &giver{life: time.Hour}
			set(t, g)
			rec := &recorder{}
			c := buckettest.OpenWith(t, unsigned(), bucket.Options{Transport: rec})
			for range 3 {
				if _, err := c.StatBlob(t.Context(), digest.FromString("x")); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range rec.requests {
				if got := signedBy(r); got != "KEY1 TOKEN1" {
					t.Errorf("a request is signed by %s", got)
				}
			}
			if n := g.n.Load(); n != 1 {
				t.Errorf("credentials were asked for %d times", n)
			}
		})
	}
}

// TestCredentialsRotate is a mount that outlives its credentials many times over. Their lives are short, and
// there is no event at their end but the time.
func TestCredentialsRotate(t *testing.T) {
	for name, set := range sources {
		t.Run(name, func(t *testing.T) {
			g := &giver{life: 1100 * time.Millisecond} // times have whole seconds
			set(t, g)
			rec := &recorder{}
			c := buckettest.OpenWith(t, unsigned(), bucket.Options{Transport: rec})
			for deadline := time.Now().Add(20 * time.Second); g.n.Load() < 3; time.Sleep(20 * time.Millisecond) {
				if _, err := c.StatBlob(t.Context(), digest.FromString("x")); err != nil {
					t.Fatal(err)
				}
				want := fmt.Sprintf("KEY%d TOKEN%[1]d", g.n.Load())
				if got := signedBy(rec.requests[len(rec.requests)-1]); got != want || time.Now().After(deadline) {
					t.Fatalf("a request is signed by %s, want %s, and then others", got, want)
				}
			}
		})
	}
}

// TestCredentialServiceFails must not read as an answer of the bucket: a blob that is there would be taken
// for gone.
func TestCredentialServiceFails(t *testing.T) {
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	closed := httptest.NewServer(nil)
	closed.Close()
	hangs := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-released:
		}
	}
	for name, tc := range map[string]struct {
		url  string
		kind error
		text string
	}{
		"not found": {serve(t, page(404, nil, `{"code":"NotFound","message":"no such role"}`)), bucket.ErrDenied, "no such role"},
		"denied":    {serve(t, page(403, nil, `{"code":"AccessDenied","message":"not for you"}`)), bucket.ErrDenied, "not for you"},
		"hangs":     {serve(t, hangs), bucket.ErrUnreachable, "the service that gives the credentials"},
		"refused":   {closed.URL, bucket.ErrUnreachable, "the service that gives the credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", tc.url)
			o := bucket.Options{Transport: &recorder{}}
			if name == "hangs" {
				o.HeaderTimeout = 20 * time.Millisecond
			}
			c := buckettest.OpenWith(t, unsigned(), o)
			_, err := c.StatBlob(t.Context(), digest.FromString("x"))
			wantKind(t, err, tc.kind)
			if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("Check: %v, want %q in it", err, tc.text)
			}
		})
	}
}

// TestNoSignRequest asks without credentials, and asks nobody for any.
func TestNoSignRequest(t *testing.T) {
	g := &giver{life: time.Hour}
	sources["container"](t, g)
	cfg := unsigned()
	cfg.Access.NoSignRequest = true
	rec := &recorder{}
	c := buckettest.OpenWith(t, cfg, bucket.Options{Transport: rec})
	if _, err := c.StatBlob(t.Context(), digest.FromString("x")); err != nil {
		t.Fatal(err)
	}
	buckettest.Put(t, c, []byte("x"))
	for _, r := range rec.requests {
		if r.Header.Get("Authorization") != "" || r.Header.Get("X-Amz-Security-Token") != "" {
			t.Errorf("%s %s is signed", r.Method, r.URL)
		}
	}
	if len(rec.requests) != 2 || g.n.Load() != 0 {
		t.Errorf("%d requests, credentials were asked for %d times", len(rec.requests), g.n.Load())
	}
}

// TestPublicBucket reads a bucket of a real server that anybody may read.
func TestPublicBucket(t *testing.T) {
	t.Parallel()
	cfg := buckettest.Start(t)
	owner := buckettest.OpenWith(t, cfg, bucket.Options{})
	d := buckettest.Put(t, owner, []byte("public"))
	cfg.AccessKeyID, cfg.SecretAccessKey, cfg.Access.NoSignRequest = "", "", true
	c := buckettest.OpenWith(t, cfg, bucket.Options{})
	if err := c.Check(t.Context()); !errors.Is(err, bucket.ErrDenied) {
		t.Errorf("Check of a bucket that is not public: %v", err)
	}
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": "*", "Action": []string{"s3:ListBucket", "s3:GetObject"},
		"Resource": []string{"arn:aws:s3:::" + cfg.Bucket, "arn:aws:s3:::" + cfg.Bucket + "/*"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.SetPolicy(t.Context(), string(policy)); err != nil {
		t.Fatal(err)
	}
	if got, err := buckettest.Get(t.Context(), c, d, 0, -1); err != nil || string(got) != "public" {
		t.Errorf("get: %q, %v", got, err)
	}
	for _, p := range c.Permissions(t.Context(), false) {
		want := bucket.Denied
		if p.Action.ReadOnly {
			want = bucket.Allowed
		}
		if p.Outcome != want {
			t.Errorf("%s is %s, want %s: %v", p.Action.Name, p.Outcome, want, p.Err)
		}
	}
}
