package bucket_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

func env(pairs ...string) func(string) (string, bool) {
	return func(key string) (string, bool) {
		i := slices.Index(pairs, key)
		if i < 0 {
			return "", false
		}
		return pairs[i+1], true
	}
}

// base is what the CSV "bucket=b,region=r" means.
func base() bucket.Config {
	c := bucket.Default()
	c.Bucket, c.Region = "b", "r"
	return c
}

func TestParse(t *testing.T) {
	tests := []struct {
		csv  string
		env  []string
		want func(c *bucket.Config)
	}{
		{csv: "bucket=b,region=r", want: func(*bucket.Config) {}},
		{csv: "type=s3,bucket=b,region=r", want: func(*bucket.Config) {}},
		{csv: "bucket=b,type=s3,region=r\n", want: func(*bucket.Config) {}},
		{csv: "", env: []string{"AWS_BUCKET", "b", "AWS_REGION", "r"}, want: func(*bucket.Config) {}},
		{csv: "bucket=b,region=r", env: []string{"AWS_BUCKET", "x", "AWS_REGION", "x"}, want: func(*bucket.Config) {}},
		{csv: "bucket=x,bucket=b,region=r", want: func(*bucket.Config) {}},
		{csv: " BUCKET=b,region=r", want: func(*bucket.Config) {}},
		{csv: "bucket=b,region=r,", want: func(*bucket.Config) {}},
		{csv: "bucket=b,region=r,name=a;b/c", want: func(c *bucket.Config) { c.Names = []string{"a", "b/c"} }},
		{csv: `bucket=b,region=r,"prefix=a,b=c"`, want: func(c *bucket.Config) { c.Prefix = "a,b=c" }},
		{csv: "bucket=b,region=r,blobs_prefix=,manifests_prefix=m", want: func(c *bucket.Config) { c.BlobsPrefix, c.ManifestsPrefix = "", "m" }},
		{csv: "bucket=b,region=r,endpoint_url=http://h:1,use_path_style=true", want: func(c *bucket.Config) { c.EndpointURL, c.UsePathStyle = "http://h:1", true }},
		{csv: "bucket=b,region=r,access_key_id=k,secret_access_key=s=/+,session_token=t", want: func(c *bucket.Config) {
			c.AccessKeyID, c.SecretAccessKey, c.SessionToken = "k", "s=/+", "t"
		}},
		{csv: "bucket=b,region=r,touch_refresh=90m,upload_parallelism=7", want: func(c *bucket.Config) {
			c.TouchRefresh, c.UploadParallelism = 90*time.Minute, 7
		}},
		{csv: "bucket=b,region=r,retry_mode=adaptive,retry_max_attempts=9,disable_accept_encoding=1", want: func(c *bucket.Config) {
			c.RetryMode, c.RetryMaxAttempts, c.DisableAcceptEncoding = "adaptive", 9, true
		}},
		{csv: "bucket=b,region=r,mode=max,ignore-error=true", want: func(c *bucket.Config) {
			c.Export.Mode, c.Export.IgnoreError = "max", true
		}},
		{csv: "bucket=b,region=r,mode=", want: func(c *bucket.Config) { c.Export.Mode = "" }},
		{csv: "bucket=b,region=r,ignore_error=1,touch-refresh=0", want: func(c *bucket.Config) { c.Export.IgnoreError, c.TouchRefresh = true, 0 }},
		{csv: "bucket=b,region=r,compression=zstd,compression-level=19,force-compression=", want: func(c *bucket.Config) {
			c.Export.Compression, c.Export.CompressionLevel, c.Export.ForceCompression = "zstd", "19", true
		}},
		{csv: "bucket=b,region=r,profile=ci,request_payer=requester,expected_bucket_owner=123456789012", want: func(c *bucket.Config) {
			c.Access = bucket.Access{Profile: "ci", RequestPayer: "requester", ExpectedBucketOwner: "123456789012"}
		}},
		{csv: "bucket=b,region=r,no_sign_request=true", want: func(c *bucket.Config) { c.Access.NoSignRequest = true }},
		{csv: "bucket=b,region=r,sse=aws:kms,sse_kms_key_id=arn:aws:kms:eu-west-1:1:key/x,storage_class=STANDARD_IA,acl=private", want: func(c *bucket.Config) {
			c.Storage = bucket.Storage{SSE: "aws:kms", SSEKMSKeyID: "arn:aws:kms:eu-west-1:1:key/x", Class: "STANDARD_IA", ACL: "private"}
		}},
		{csv: "bucket=b,region=r,ca_bundle=/etc/ca.pem,dualstack=true,accelerate=true", want: func(c *bucket.Config) {
			c.Network = bucket.Network{CABundle: "/etc/ca.pem", Dualstack: true, Accelerate: true}
		}},
		{csv: "bucket=b,region=r,upload_limit=50MB,download_limit=20MiB/s,request_limit=100", want: func(c *bucket.Config) {
			c.Limits = bucket.Limits{Upload: 50e6, Download: 20 << 20, Requests: 100}
		}},
	}
	for _, tc := range tests {
		want := base()
		tc.want(&want)
		if got, err := bucket.Parse(tc.csv, env(tc.env...)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%q) =\n%#v, %v, want\n%#v", tc.csv, got, err, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		csv  string
		want []string // all of it is in the error
	}{
		{"region=r", []string{"bucket", "$AWS_BUCKET"}},
		{"bucket=b", []string{"region", "$AWS_REGION"}},
		{"", []string{"bucket", "$AWS_BUCKET", "region", "$AWS_REGION"}},
		{"bucket=b,region=", []string{"region is missing"}},
		{"type=gha,bucket=b,region=r", []string{"type=gha", "s3"}},
		{"bucket=b,region=r,regoin=x", []string{`"regoin"`, `"region"`}},
		{"bucket=b,region=r,oci-mediatypes=true", []string{`"oci-mediatypes"`, "blobs_prefix", "use_path_style"}},
		{"bucket=b,region=r,compression=lzma", []string{"compression=lzma", "zstd"}},
		{"bucket=b,region=r,compression-level=best", []string{"compression-level=best"}},
		{"bucket=b,region=r,force-compression=yes please", []string{"force-compression=yes please"}},
		{"bucket=b,region=r,retry_mode=", []string{"retry_mode=", "standard or adaptive"}},
		{"bucket=b,region=r,sse=aes", []string{"sse=aes", "AES256"}},
		{"bucket=b,region=r,sse=AES256,sse_kms_key_id=k", []string{"sse_kms_key_id", "sse=aws:kms"}},
		{"bucket=b,region=r,storage_class=DEEP_ARCHIVE", []string{"storage_class=DEEP_ARCHIVE", "GLACIER_IR"}},
		{"bucket=b,region=r,request_payer=me", []string{"request_payer=me", "requester"}},
		{"bucket=b,region=r,upload_limit=fast", []string{"upload_limit=fast", "50MB"}},
		{"bucket=b,region=r,download_limit=0", []string{"download_limit=0"}},
		{"bucket=b,region=r,request_limit=0.5", []string{"request_limit=0.5"}},
		{"bucket=b,region=r,no_sign_request=true,access_key_id=k,secret_access_key=hush", []string{"no_sign_request and access_key_id"}},
		{"bucket=b,region=r,dualstack=true,endpoint_url=http://h", []string{"dualstack", "endpoint_url"}},
		{"bucket=b,region=r,use_path_style", []string{"use_path_style needs a value"}},
		{"bucket=b,region=r,use_path_style=yes please", []string{"use_path_style=yes please", "true or false"}},
		{"bucket=b,region=r,ignore-error=", []string{"ignore-error="}},
		{"bucket=b,region=r,touch_refresh=1d", []string{"touch_refresh=1d"}},
		{"bucket=b,region=r,touch_refresh=-1h", []string{"touch_refresh=-1h"}},
		{"bucket=b,region=r,upload_parallelism=0", []string{"upload_parallelism=0"}},
		{"bucket=b,region=r,upload_parallelism=many", []string{"upload_parallelism=many"}},
		{"bucket=b,region=r,retry_max_attempts=0", []string{"retry_max_attempts=0"}},
		{"bucket=b,region=r,retry_mode=often", []string{"retry_mode=often", "standard or adaptive"}},
		{"bucket=b,region=r,mode=med", []string{"mode=med", "min or max"}},
		{"bucket=b,region=r,name=", []string{"name="}},
		{"bucket=b,region=r,name=a;;b", []string{"name=a;;b"}},
		{"bucket=b,region=r,endpoint_url=localhost:9000", []string{"endpoint_url=localhost:9000", "http://"}},
		{"bucket=b,region=r,endpoint_url=://", []string{"endpoint_url"}},
		{"bucket=b,region=r,access_key_id=k", []string{"access_key_id is given without secret_access_key"}},
		{"bucket=b,region=r,secret_access_key=hush", []string{"secret_access_key is given without access_key_id"}},
		{"bucket=b,region=r,session_token=hush", []string{"session_token is given without"}},
		{`bucket=b,"region=r`, []string{"CSV"}},
		{"bucket=b,region=r,nope=1,touch_refresh=x", []string{`"nope"`, "touch_refresh=x"}},
		{"bucket=b,region=r,access_key_id=k,secret_access_key=hu,hush", []string{"field 5"}},
	}
	for _, tc := range tests {
		_, err := bucket.Parse(tc.csv, env())
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Parse(%q): %v, want %q in it", tc.csv, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("Parse(%q) tells a secret: %v", tc.csv, err)
		}
	}
}

func TestConfigHidesSecrets(t *testing.T) {
	c := base()
	c.AccessKeyID, c.SecretAccessKey, c.SessionToken = "key", "hush1", "hush2"
	c.EndpointURL = "https://me:hush3@host/"
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %s", c, c, c, &c), c.LogValue().String()} {
		if strings.Contains(text, "hush") {
			t.Errorf("a secret is told: %s", text)
		}
		if !strings.Contains(text, "host") {
			t.Errorf("the endpoint is missing: %s", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("type=s3,bucket=b,region=r,name=a;b")
	f.Add(`"bucket=b","region=r,x",touch_refresh=1h`)
	f.Add("bucket=b,region=r,endpoint_url=http://[::1]:9000,use_path_style=t")
	f.Fuzz(func(t *testing.T, csv string) {
		c, err := bucket.Parse(csv, env("AWS_BUCKET", "b"))
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("what was parsed is not valid: %v", err)
		}
		if c.Bucket == "" || c.Region == "" || len(c.Names) == 0 || c.UploadParallelism < 1 || c.TouchRefresh < 0 {
			t.Errorf("%#v", c)
		}
	})
}
