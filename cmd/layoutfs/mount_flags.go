package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/layoutfs/layoutfs/daemon"
)

// bucketFlags are --s3 and the parameters of type=s3; --some-key is some_key of the CSV. They are text here:
// the CSV's own parser says what is wrong with one.
func bucketFlags() []cli.Flag {
	usage := []struct{ name, usage string }{
		{"bucket", "`NAME` of the bucket [$AWS_BUCKET]"},
		{"region", "`REGION` of the bucket [$AWS_REGION]"},
		{"name", "`NAME` of the cache that is tag latest of the root layout; a;b publishes to both and reads a (default: buildkit)"},
		{"endpoint-url", "`URL` of the server, for others than AWS"},
		{"prefix", "`PREFIX` of every key"},
		{"blobs-prefix", "`PREFIX` of blobs, after --prefix (default: blobs/)"},
		{"manifests-prefix", "`PREFIX` of names, after --prefix (default: manifests/)"},
		{"access-key-id", "`ID` of a static key"},
		{"secret-access-key", "`SECRET` of a static key"},
		{"session-token", "`TOKEN` of a temporary key"},
		{"touch-refresh", "`AGE` from which a blob that is published again is touched (default: 24h)"},
		{"upload-parallelism", "`N` blobs are uploaded at once (default: 4)"},
		{"retry-mode", "`MODE` of the AWS SDK: standard or adaptive"},
		{"retry-max-attempts", "`N` attempts at a request"},
	}
	flags := []cli.Flag{text("s3", "", "`CSV` of --cache-to type=s3,...")}
	for _, u := range usage {
		flags = append(flags, text(u.name, "", u.usage))
	}
	return append(flags,
		toggle("use-path-style", "put the bucket into the path of the URL, not into the host name"),
		toggle("disable-accept-encoding", "for Google Cloud Storage"),
	)
}

func envName(flag string) string {
	return "LAYOUTFS_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func mountFlags() []cli.Flag {
	return append(bucketFlags(),
		text("embedded", "", "serve S3 from `DIR` for this mount, instead of a bucket elsewhere"),
		text("cache-dir", "", "keep local copies in `DIR`, exactly there (default: a folder for each bucket in /var/cache/layoutfs, or ~/.cache/layoutfs for a user)"),
		text("cache-size", "50%", "of local copies keep at most `SIZE` (50GB, 20GiB, 30% of the file system; 0: no limit)"),
		text("min-free", "1GiB", "leave at least `SIZE` of the file system free"),
		text("write", "through", "`MODE`: through (acknowledged means in the bucket) or back (acknowledged means safe on local disk, uploaded later)"),
		duration("refresh", time.Second, "what index.json shows is at most `AGE` old"),
		duration("drain-timeout", time.Minute, "`TIME` that a signal waits for uploads before it unmounts"),
		toggle("read-only", "change nothing, neither in the mount nor in the bucket"),
		toggle("allow-delete", "dropping a tag from index.json deletes the name in the bucket"),
		toggle("offline", "never touch the network: show what is on local disk"),
		toggle("allow-other", "let other users in (a plain user needs user_allow_other in /etc/fuse.conf)"),
		text("uid", "", "`UID` that owns the files (default: the mounting user)"),
		text("gid", "", "`GID` that owns the files"),
		text("umask", "022", "octal `MASK` of permissions"),
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the mount answers; a process in the background serves it", DisableDefaultText: true},
		text("log-file", "", "log to `FILE` (default: standard error; with -d, the file log in the cache directory)"),
		text("log-level", "info", "`LEVEL`: debug, info, warn or error"),
		text("log-format", "text", "`FORMAT`: text or json"),
	)
}

func text(name, value, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Value: value, Usage: usage, EnvVars: []string{envName(name)}}
}

func duration(name string, value time.Duration, usage string) cli.Flag {
	return &cli.DurationFlag{Name: name, Value: value, Usage: usage, EnvVars: []string{envName(name)}}
}

func toggle(name, usage string) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: usage, EnvVars: []string{envName(name)}, DisableDefaultText: true}
}

// mountConfig reads the flags, and reports everything that is wrong with them.
func mountConfig(c *cli.Context) (daemon.Config, error) {
	at, err := mountpoint(c, false)
	if err != nil {
		return daemon.Config{}, err
	}
	p := &parser{c: c}
	config := daemon.Config{
		Mountpoint:   at,
		Embedded:     p.path("embedded"),
		CacheDir:     p.path("cache-dir"),
		CacheSize:    p.size("cache-size"),
		MinFree:      p.size("min-free"),
		WriteBack:    p.oneOf("write", "through", "back") == "back",
		ReadOnly:     c.Bool("read-only"),
		AllowDelete:  c.Bool("allow-delete"),
		Offline:      c.Bool("offline"),
		AllowOther:   c.Bool("allow-other"),
		Refresh:      c.Duration("refresh"),
		UID:          p.number("uid", 10, os.Geteuid()),
		GID:          p.number("gid", 10, os.Getegid()),
		Umask:        p.number("umask", 8, 0o022),
		DrainTimeout: c.Duration("drain-timeout"),
		Log:          daemon.LogConfig{File: p.path("log-file"), Level: c.String("log-level"), Format: c.String("log-format")},
		Version:      version,
	}
	config.Bucket, err = daemon.ParseBucket(c.String("s3"), params(c), config.Embedded != "")
	if err != nil && c.IsSet("s3") {
		err = fmt.Errorf("--s3: %w", err)
	}
	if err := errors.Join(append(p.errs, err)...); err != nil {
		return config, err
	}
	if config.CacheDir == "" {
		if config.CacheDir, err = config.DefaultCacheDir(); err != nil {
			return config, err
		}
	}
	return config, config.Validate()
}

// params are the parameters of type=s3 that were given as flags.
func params(c *cli.Context) []daemon.Param {
	var params []daemon.Param
	for _, f := range bucketFlags()[1:] { // without --s3
		if name := f.Names()[0]; c.IsSet(name) {
			params = append(params, daemon.Param{Key: strings.ReplaceAll(name, "-", "_"), Value: fmt.Sprint(c.Value(name))})
		}
	}
	return params
}
