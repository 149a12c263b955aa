package daemon

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

func validConfig() Config {
	b := bucket.Default()
	b.Bucket, b.Region = "ci", "eu-west-1"
	return Config{
		Mountpoint: "/mnt/cache", CacheDir: "/var/cache/layoutfs/x", Bucket: b,
		Refresh: time.Second, DrainTimeout: time.Minute, Umask: 0o022,
		Log: LogConfig{Level: "info", Format: "text"},
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestValidate(t *testing.T) {
	if err := validConfig().Validate(); err != nil {
		t.Fatalf("a valid configuration: %v", err)
	}
	for want, set := range map[string]func(*Config){
		"bucket is missing":             func(c *Config) { c.Bucket.Bucket = "" },
		"mountpoint \"x\"":              func(c *Config) { c.Mountpoint = "x" },
		"--cache-dir \"x\"":             func(c *Config) { c.CacheDir = "x" },
		"inside the mountpoint":         func(c *Config) { c.CacheDir = "/mnt/cache/.layoutfs" },
		"--log-file /mnt/cache/log is":  func(c *Config) { c.Log.File = "/mnt/cache/log" },
		"--refresh -1s":                 func(c *Config) { c.Refresh = -time.Second },
		"--patience -1s":                func(c *Config) { c.Patience = -time.Second },
		"--drain-timeout -1s":           func(c *Config) { c.DrainTimeout = -time.Second },
		"--umask 1000":                  func(c *Config) { c.Umask = 0o1000 },
		"--log-level \"loud\"":          func(c *Config) { c.Log.Level = "loud" },
		"--log-format \"xml\"":          func(c *Config) { c.Log.Format = "xml" },
		"--read-only and --allow":       func(c *Config) { c.ReadOnly, c.AllowDelete = true, true },
		"--embedded brings its own":     func(c *Config) { c.Embedded, c.Bucket.EndpointURL = "/b", "http://x" },
		"--offline and --embedded":      func(c *Config) { c.Embedded, c.Offline = "/b", true },
		"secret_access_key is given wi": func(c *Config) { c.Bucket.SecretAccessKey = "s" },
	} {
		c := validConfig()
		set(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A detached process gets its configuration as JSON: nothing may be lost on the way.
func TestConfigSurvivesJSON(t *testing.T) {
	c := validConfig()
	c.Bucket.SecretAccessKey, c.Bucket.Names = "s", []string{"a", "b"}
	c.CacheSize, c.WriteBack = Size{Percent: 12.5}, true
	var got Config
	if err := json.Unmarshal([]byte(toJSON(t, c)), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("got %+v, want %+v", got, c)
	}
}

func TestParamsCompleteAndOverrideTheCSV(t *testing.T) {
	t.Setenv("AWS_REGION", "from-env")
	t.Setenv("AWS_BUCKET", "from-env")
	c, err := ParseBucket("bucket=b,prefix=p/", []Param{{"prefix", "q,\"r\"/"}, {"use_path_style", "true"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if c.Bucket != "b" || c.Region != "from-env" || c.Prefix != "q,\"r\"/" || !c.UsePathStyle {
		t.Errorf("got %+v", c)
	}
	c, err = ParseBucket("", []Param{{"bucket", "b"}}, false)
	if err != nil || c.Bucket != "b" {
		t.Errorf("without a CSV: %+v, %v", c, err)
	}
	c, err = ParseBucket("prefix=p/", nil, true)
	if err != nil || c.Bucket != "layoutfs" || c.Region != "us-east-1" || c.Prefix != "p/" {
		t.Errorf("embedded: %+v, %v", c, err)
	}
}

func TestNoBucketSaysWhatToDo(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_BUCKET", "")
	if _, err := ParseBucket("", nil, false); err == nil || !strings.Contains(err.Error(), "--embedded DIR") {
		t.Errorf("got %v", err)
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]Size{
		"50GB": {Bytes: 50e9}, "20GiB": {Bytes: 20 << 30}, "1048576": {Bytes: 1 << 20},
		"0": {}, "30%": {Percent: 30}, " 2.5 % ": {Percent: 2.5},
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "-1GB", "101%", "-1%", "NaN%", "%", "99999999999GB"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q is taken for %+v", in, got)
		}
	}
}

func TestShareOfAFileSystem(t *testing.T) {
	whole, err := Size{Percent: 100}.On(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	half, err := Size{Percent: 50}.On(t.TempDir())
	if err != nil || half < whole/2-1 || half > whole/2+1 {
		t.Errorf("half of %d is %d, %v", whole, half, err)
	}
	if _, err := (Size{Percent: 1}).On("/does/not/exist"); err == nil {
		t.Error("a share of nothing")
	}
}

func TestReadyPrintsFlagsForAShell(t *testing.T) {
	c := validConfig()
	c.Bucket.Export.Mode, c.Bucket.Export.IgnoreError = "max", true
	r := c.ready(1, CacheStatus{})
	if r.Use.CacheTo() != "type=local,dest=/mnt/cache,mode=max,ignore-error=true" || r.Use.CacheFrom() != "type=local,src=/mnt/cache" {
		t.Errorf("got %+v", r)
	}
	c.Bucket.Export.Compression, c.Bucket.Export.CompressionLevel, c.Bucket.Export.ForceCompression = "zstd", "9", true
	if r := c.ready(1, CacheStatus{}); r.Use.CacheTo() != "type=local,dest=/mnt/cache,mode=max,ignore-error=true,compression=zstd,compression-level=9,force-compression=true" {
		t.Errorf("got %s", r.Use.CacheTo())
	}
	c.Mountpoint = "/mnt/it's, here"
	if r := c.ready(1, CacheStatus{}); r.Use.CacheFrom() != `'type=local,"src=/mnt/it'\''s, here"'` {
		t.Errorf("got %s", r.Use.CacheFrom())
	}
	c.ReadOnly = true
	if r := c.ready(1, CacheStatus{}); r.Use.CacheTo() != "" {
		t.Errorf("a read-only mount says %s", r.Use.CacheTo())
	}
}
