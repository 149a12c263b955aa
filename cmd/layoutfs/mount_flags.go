package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
)

func mountFlags() []cli.Flag {
	return append(bucketFlags(),
		text(groupEmbedded, "embedded", "", "serve S3 from the folder `DIR`, for this mount alone"),
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
		toggle(groupMount, "verify-reads", "hash a local copy before it is read, unless that was done in the last minutes; one that is wrong is fetched anew"),
		toggle(groupMount, "allow-other", "let other users in; a plain user needs the line user_allow_other in /etc/fuse.conf for it"),
		text(groupMount, "uid", "", "`UID` that owns the files (default: the mounting user's)"),
		text(groupMount, "gid", "", "`GID` that owns the files (default: the mounting user's)"),
		text(groupMount, "umask", "022", "octal `MASK` of permissions"),
		&cli.BoolFlag{
			Name: "detach", Aliases: []string{"d"}, Category: groupProcess,
			Usage: "return when the mount answers; a process in the background serves it",
		},
		text(groupProcess, "web", "", "serve a web page, and metrics for Prometheus, at `[HOST:]PORT`; without HOST for this machine alone"),
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
	return &cli.StringFlag{Name: name, Category: group, Value: value, Usage: usage, Sources: cli.EnvVars(envName(name))}
}

func toggle(group, name, usage string) cli.Flag {
	return &cli.BoolFlag{Name: name, Category: group, Usage: usage, Sources: cli.EnvVars(envName(name))}
}

// mountConfig reads the flags, and reports everything that is wrong with them.
func mountConfig(c *cli.Command) (daemon.Config, error) {
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
		VerifyReads:  c.Bool("verify-reads"),
		AllowOther:   c.Bool("allow-other"),
		Refresh:      p.duration("refresh"),
		Patience:     p.duration("patience"),
		UID:          p.id("uid", os.Geteuid()),
		GID:          p.id("gid", os.Getegid()),
		Umask:        p.umask("umask"),
		DrainTimeout: p.duration("drain-timeout"),
		Log:          daemon.LogConfig{File: p.path("log-file"), Level: c.String("log-level"), Format: c.String("log-format")},
		Web:          p.webAddress("web"),
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
func params(c *cli.Command) []daemon.Param {
	var params []daemon.Param
	for _, f := range bucketFlags()[1:] { // without --s3
		if name := f.Names()[0]; c.IsSet(name) {
			params = append(params, daemon.Param{Key: strings.ReplaceAll(name, "-", "_"), Value: fmt.Sprint(c.Value(name))})
		}
	}
	return params
}
