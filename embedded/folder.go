package embedded

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folder is the layout of Options.Dir.
type folder string

func (f folder) buckets() string     { return filepath.Join(string(f), "buckets") }
func (f folder) meta() string        { return filepath.Join(string(f), "meta") }
func (f folder) credentials() string { return filepath.Join(string(f), "credentials.json") }
func (f folder) lock() string        { return filepath.Join(string(f), "lock") }

// prepare makes the folder and the bucket. The folder is the owner's alone, because caches hold sources.
func (f folder) prepare(bucket string) error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(f.buckets(), bucket), 0o755)
}

// keys is what requests are signed with.
type keys struct {
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
}

// keys reads the folder's keys, or makes them.
func (f folder) keys() (keys, error) {
	k, err := f.readKeys()
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	b, err := json.Marshal(keys{AccessKeyID: "layoutfs-" + rand.Text()[:8], SecretAccessKey: rand.Text() + rand.Text()})
	if err != nil {
		return keys{}, err
	}
	tmp, err := os.CreateTemp(string(f), "credentials-*") // 0600
	if err != nil {
		return keys{}, err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(b, '\n'))
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return keys{}, err
	}
	// A link fails where a rename would replace the keys of another process that was faster.
	if err := os.Link(tmp.Name(), f.credentials()); err != nil && !errors.Is(err, fs.ErrExist) {
		return keys{}, err
	}
	return f.readKeys()
}

func (f folder) readKeys() (keys, error) {
	b, err := os.ReadFile(f.credentials())
	if err != nil {
		return keys{}, err
	}
	var k keys
	if err := json.Unmarshal(b, &k); err != nil || k.AccessKeyID == "" || k.SecretAccessKey == "" {
		return keys{}, fmt.Errorf("%s is damaged; remove it to get new keys", f.credentials())
	}
	return k, nil
}

// needsMeta says whether metadata goes into files beside the objects: where it already does (a folder that
// came from elsewhere), and where the file system keeps no extended attributes of the size that S3 allows.
func (f folder) needsMeta() (bool, error) {
	switch _, err := os.Stat(f.meta()); {
	case err == nil:
		return true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	probe, err := os.CreateTemp(f.buckets(), ".probe-*")
	if err != nil {
		return false, err
	}
	defer os.Remove(probe.Name())
	defer probe.Close()
	const userMetadata = 2048 // bytes, the most that S3 allows
	if unix.Fsetxattr(int(probe.Fd()), "user.layoutfs.probe", make([]byte, userMetadata), 0) == nil {
		return false, nil
	}
	return true, os.MkdirAll(f.meta(), 0o755)
}
