package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/layoutfs/layoutfs/daemon"
)

// bucketFlags are --s3 and the parameters of type=s3; --some-key is some_key of the CSV. They are text here:
// the CSV's own parser says what is wrong with one.
func bucketFlags() []cli.Flag {
	return []cli.Flag{
		text(groupBucket, "s3", "", "`CSV` of --cache-to type=s3,..."),
		text(groupBucket, "bucket", "", "`NAME` of the bucket, or $AWS_BUCKET"),
		text(groupBucket, "region", "", "`REGION` of the bucket, or $AWS_REGION"),
		text(groupBucket, "name", "", "`NAME` of the cache that is tag latest of the root layout; a;b publishes to both and reads a (default: buildkit)"),
		text(groupBucket, "endpoint-url", "", "`URL` of a server that is not AWS"),
		text(groupBucket, "prefix", "", "`PREFIX` of every key"),
		text(groupBucket, "blobs-prefix", "", "`PREFIX` of blobs, after --prefix (default: blobs/)"),
		text(groupBucket, "manifests-prefix", "", "`PREFIX` of names, after --prefix (default: manifests/)"),
		text(groupBucket, "access-key-id", "", "`ID` of a static key"),
		text(groupBucket, "secret-access-key", "", "`SECRET` of a static key"),
		text(groupBucket, "session-token", "", "`TOKEN` of a temporary key"),
		text(groupBucket, "touch-refresh", "", "`AGE` from which a blob that is published again is touched (default: 24h)"),
		text(groupBucket, "upload-parallelism", "", "upload `N` blobs at once (default: 4)"),
		text(groupBucket, "retry-mode", "", "`MODE` of the AWS SDK: standard or adaptive"),
		text(groupBucket, "retry-max-attempts", "", "make `N` attempts at a request"),
		toggle(groupBucket, "use-path-style", "put the bucket into the path of the URL, not into the host name"),
		toggle(groupBucket, "disable-accept-encoding", "for Google Cloud Storage"),
		text(groupBucket, "mode", "", "min or max: what the printed --cache-to exports (default: min)"),
		toggle(groupBucket, "ignore-error", "the printed --cache-to passes over a failed export"),
		text(groupBucket, "compression", "", "`TYPE` of new layers in the printed --cache-to: uncompressed, gzip, estargz or zstd"),
		text(groupBucket, "compression-level", "", "`LEVEL` of that compression"),
		toggle(groupBucket, "force-compression", "the printed --cache-to compresses all layers so"),
		text(groupBucket, "profile", "", "`NAME` of a profile of the AWS configuration files, or $AWS_PROFILE"),
		toggle(groupBucket, "no-sign-request", "ask without credentials, for a public bucket"),
		text(groupBucket, "request-payer", "", "requester: pay for requests to somebody else's bucket"),
		text(groupBucket, "expected-bucket-owner", "", "`ACCOUNT` that the bucket must belong to"),
		text(groupBucket, "sse", "", "`TYPE` of server-side encryption: AES256, aws:kms or aws:kms:dsse"),
		text(groupBucket, "sse-kms-key-id", "", "`KEY` of aws:kms (default: the account's)"),
		text(groupBucket, "storage-class", "", "`CLASS` of what is written, such as STANDARD_IA"),
		text(groupBucket, "acl", "", "canned `ACL` of what is written, such as bucket-owner-full-control"),
		text(groupBucket, "ca-bundle", "", "`FILE` with the authorities to trust in TLS, or $AWS_CA_BUNDLE"),
		toggle(groupBucket, "dualstack", "reach AWS over IPv6, too"),
		toggle(groupBucket, "accelerate", "use S3 Transfer Acceleration"),
		text(groupBucket, "upload-limit", "", "upload at most `BYTES` per second, such as 50MB"),
		text(groupBucket, "download-limit", "", "download at most `BYTES` per second"),
		text(groupBucket, "request-limit", "", "make at most `N` requests per second"),
	}
}

func mountFlags() []cli.Flag {
	return append(bucketFlags(),
		text(groupBucket, "embedded", "", "serve S3 from the folder `DIR`, for this mount alone, instead of using a bucket elsewhere"),
		text(groupDisk, "cache-dir", "", "keep local copies in `DIR`, exactly there (default: a folder for each bucket in /var/cache/layoutfs, for a plain user in ~/.cache/layoutfs)"),
		text(groupDisk, "cache-size", "50%", "keep at most `SIZE` of local copies: 50GB, 20GiB, or 30% of the file system; 0 means no limit"),
		text(groupDisk, "min-free", "1GiB", "leave at least `SIZE` of the file system free"),
		text(groupMount, "write", "through", "`MODE`: through (what is acknowledged is in the bucket) or back (it is safe on local disk, and uploaded later)"),
		text(groupMount, "refresh", "1s", "what index.json shows is at most `AGE` old"),
		text(groupMount, "patience", "20s", "`TIME` that clients wait for a bucket that does not answer, before they get an error"),
		text(groupMount, "drain-timeout", "1m", "`TIME` that a signal waits for uploads before it unmounts"),
		toggle(groupMount, "read-only", "change nothing, neither in the mount nor in the bucket"),
		toggle(groupMount, "allow-delete", "dropping a tag from index.json deletes the name in the bucket"),
		toggle(groupMount, "offline", "never touch the network: show what is on local disk"),
		toggle(groupMount, "allow-other", "let other users in; a plain user needs the line user_allow_other in /etc/fuse.conf for it"),
		text(groupMount, "uid", "", "`UID` that owns the files (default: the mounting user's)"),
		text(groupMount, "gid", "", "`GID` that owns the files (default: the mounting user's)"),
		text(groupMount, "umask", "022", "octal `MASK` of permissions"),
		&cli.BoolFlag{
			Name: "detach", Aliases: []string{"d"}, Category: groupProcess, DisableDefaultText: true,
			Usage: "return when the mount answers; a process in the background serves it",
		},
		text(groupProcess, "log-file", "", "log to `FILE` (default: standard error; with -d, the file log in the cache directory)"),
		text(groupProcess, "log-level", "info", "`LEVEL`: debug, info, warn or error"),
		text(groupProcess, "log-format", "text", "`FORMAT`: text or json"),
	)
}

// envPrefix begins the environment variables that stand for flags.
const envPrefix = "LAYOUTFS_"

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func text(group, name, value, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Category: group, Value: value, Usage: usage, EnvVars: []string{envName(name)}}
}

func toggle(group, name, usage string) cli.Flag {
	return &cli.BoolFlag{Name: name, Category: group, Usage: usage, EnvVars: []string{envName(name)}, DisableDefaultText: true}
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
		Refresh:      p.duration("refresh"),
		Patience:     p.duration("patience"),
		UID:          p.id("uid", os.Geteuid()),
		GID:          p.id("gid", os.Getegid()),
		Umask:        p.umask("umask"),
		DrainTimeout: p.duration("drain-timeout"),
		Log:          daemon.LogConfig{File: p.path("log-file"), Level: c.String("log-level"), Format: c.String("log-format")},
		Version:      version,
	}
	flags := params(c)
	config.Bucket, err = daemon.ParseBucket(c.String("s3"), flags, config.Embedded != "")
	if err != nil && c.IsSet("s3") && len(flags) == 0 {
		err = fmt.Errorf("--s3: %w", err)
	}
	if err := errors.Join(p.err(), err); err != nil {
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
