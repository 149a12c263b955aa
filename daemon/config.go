package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/layoutfs/layoutfs/embedded"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// Config is everything that a mount needs to know. It holds secrets (in Bucket); it is handed from one
// process to another as JSON, over a descriptor and never as an argument.
type Config struct {
	Mountpoint string // absolute, as Resolve gives it

	Bucket   bucket.Config
	Embedded string // a folder that the embedded S3 server serves, instead of a bucket elsewhere; or empty

	CacheDir  string // absolute
	CacheSize Size   // of warm and partial blobs; zero: no limit
	MinFree   Size   // what to leave free on the file system of CacheDir

	WriteBack   bool // acknowledge what is staged, not what is published
	ReadOnly    bool
	AllowDelete bool // dropping a tag deletes the name
	Offline     bool // never touch the network
	VerifyReads bool // hash a local copy before it is read, if that was not done in the last minutes
	Refresh     time.Duration
	Patience    time.Duration // how long clients wait for a bucket that does not answer

	AllowOther bool // let other users in
	UID, GID   uint32
	Umask      uint32

	DrainTimeout time.Duration // how long a signal waits for uploads
	Web          string        // HOST:PORT of the web page, as ParseWebAddress gives it; empty: none
	Log          LogConfig
	Version      string // of this program, for status
}

// Validate reports everything that is wrong with c at once.
func (c Config) Validate() error {
	return errors.Join(
		c.validateBucket(),
		absolute("mountpoint", c.Mountpoint),
		absolute("--cache-dir", c.CacheDir),
		c.outside("--cache-dir", c.CacheDir),
		c.outside("--embedded", c.Embedded),
		c.outside("--log-file", c.Log.File),
		notNegative("--refresh", c.Refresh),
		notNegative("--patience", c.Patience),
		notNegative("--drain-timeout", c.DrainTimeout),
		c.validateModes(),
		c.Log.validate(),
	)
}

func (c Config) validateBucket() error {
	if c.Embedded == "" {
		return c.Bucket.Validate()
	}
	if c.Bucket.EndpointURL != "" || c.Bucket.AccessKeyID != "" {
		return errors.New("--embedded brings its own endpoint and keys: leave out endpoint_url and access_key_id")
	}
	if err := (embedded.Options{Dir: c.Embedded, Bucket: c.Bucket.Bucket}).Validate(); err != nil {
		return err
	}
	return absolute("--embedded", c.Embedded)
}

func (c Config) validateModes() error {
	switch {
	case c.Embedded != "" && c.Offline:
		return errors.New("--offline and --embedded exclude each other: the embedded server is on this machine")
	case c.ReadOnly && c.AllowDelete:
		return errors.New("--read-only and --allow-delete exclude each other")
	case c.Umask > 0o777:
		return fmt.Errorf("--umask %o: must be from 000 to 777, in octal", c.Umask)
	}
	return nil
}

func absolute(what, path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s %q: must be an absolute path", what, path)
	}
	return nil
}

// outside makes sure that the daemon does not wait for itself: what it keeps must not be in its mount.
func (c Config) outside(what, path string) error {
	if path != "" && (path == c.Mountpoint || strings.HasPrefix(path, c.Mountpoint+"/")) {
		return fmt.Errorf("%s %s is inside the mountpoint %s: choose a folder elsewhere", what, path, c.Mountpoint)
	}
	return nil
}

func notNegative(what string, d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("%s %s: must not be negative", what, d)
	}
	return nil
}
