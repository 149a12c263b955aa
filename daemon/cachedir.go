package daemon

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/layoutfs/layoutfs/sync"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// identity says of which cache a cache directory is a copy. It holds no secrets.
type identity struct {
	Bucket          string `json:"bucket"`
	Prefix          string `json:"prefix,omitempty"`
	BlobsPrefix     string `json:"blobs_prefix,omitempty"`
	ManifestsPrefix string `json:"manifests_prefix,omitempty"`
	Endpoint        string `json:"endpoint,omitempty"` // of the server, or the embedded server's folder
}

func (c Config) identity() identity {
	b := c.Bucket
	return identity{b.Bucket, b.Prefix, b.BlobsPrefix, b.ManifestsPrefix, cmp.Or(c.Embedded, withoutUser(b.EndpointURL))}
}

// String is the identity for people.
func (i identity) String() string {
	s := "s3://" + i.Bucket + "/" + i.Prefix
	if i.Endpoint != "" {
		s += " at " + i.Endpoint
	}
	return s
}

// DefaultCacheDir is where a mount keeps its blobs if --cache-dir does not say: a folder of its own for
// every bucket and prefix, so that mounts of two buckets run side by side and their blobs stay apart.
func (c Config) DefaultCacheDir() (string, error) {
	base := "/var/cache/layoutfs"
	if os.Geteuid() != 0 {
		home, err := os.UserCacheDir() // $XDG_CACHE_HOME or ~/.cache
		if err != nil {
			return "", fmt.Errorf("no place for the cache: %w; choose one with --cache-dir", err)
		}
		base = filepath.Join(home, "layoutfs")
	}
	return filepath.Join(base, c.identity().folder()), nil
}

var notInFolder = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

func (i identity) folder() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{i.Endpoint, i.Bucket, i.Prefix, i.BlobsPrefix, i.ManifestsPrefix}, "\x00")))
	return notInFolder.ReplaceAllString(i.Bucket, "_") + "-" + hex.EncodeToString(sum[:6])
}

// identityFile is in the cache directory, beside the folders of sync/disk.
const identityFile = "bucket.json"

// claimCache makes sure that an open cache directory is used for one bucket at a time. Blobs are what
// they are whatever the bucket, but what is staged belongs to the bucket that it was acknowledged for,
// and what the index believes is true of that bucket alone.
func claimCache(store *disk.Store, dir string, now identity, log *slog.Logger) error {
	before, err := readIdentity(filepath.Join(dir, identityFile))
	if err != nil {
		return err
	}
	if before == now {
		return nil
	}
	if before != (identity{}) {
		sameServer := before.Endpoint == now.Endpoint
		if !before.isFolder() && !now.isFolder() {
			before.Endpoint = now.Endpoint
		}
		if err := mayMove(store, dir, before, now); err != nil {
			return err
		}
		log.Info("the cache directory was of another bucket; its index is begun anew", "dir", dir, "same_server", sameServer)
		if err := os.RemoveAll(store.IndexDir()); err != nil {
			return fmt.Errorf("remove the index of another bucket: %w", err)
		}
	}
	return writeIdentity(filepath.Join(dir, identityFile), now)
}

// isFolder says whether an embedded server serves it. Their buckets have the same name by default.
func (i identity) isFolder() bool { return filepath.IsAbs(i.Endpoint) }

// mayMove refuses to send what is staged for one bucket to another. The same bucket at another address
// is taken for the same: a server that moved, a proxy. In another folder it is another one.
func mayMove(store *disk.Store, dir string, before, now identity) error {
	if before == now {
		return nil
	}
	names, err := store.Pending()
	if err != nil {
		return err
	}
	u := store.Usage()
	if u.StagedBlobs > 0 || len(names) > 0 {
		staged := sync.Count{Blobs: u.StagedBlobs, Bytes: u.StagedBytes}
		return fmt.Errorf("cache directory %s holds %s to be uploaded to %s, not to %s: "+
			"mount that bucket with it until they are there, or choose another --cache-dir",
			dir, remainder(staged, len(names)), before, now)
	}
	return nil
}

func readIdentity(path string) (identity, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return identity{}, nil
	}
	var i identity
	if err == nil {
		err = json.Unmarshal(b, &i)
	}
	if err != nil {
		return identity{}, fmt.Errorf("of which bucket the cache directory is: read %s: %w", path, err)
	}
	return i, nil
}

// writeIdentity writes it durably: a power loss must leave a directory that can be mounted.
func writeIdentity(path string, i identity) error {
	b, err := json.Marshal(i)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	err = os.WriteFile(tmp, append(b, '\n'), 0o600)
	if err == nil {
		err = syncPath(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncPath(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("note of which bucket the cache directory is: %w", err)
	}
	return nil
}

// syncPath makes a file or the entries of a folder durable.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
