package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// runtimeDirEnv chooses the runtime directory.
const runtimeDirEnv = "LAYOUTFS_RUNTIME_DIR"

// runtimeDirs are where control sockets may be, best first: root's are always in /run, because a service
// has no $XDG_RUNTIME_DIR where a login has one, and a user's own are looked for in both places.
func runtimeDirs() []string {
	if dir := os.Getenv(runtimeDirEnv); dir != "" {
		return []string{dir}
	}
	uid := os.Geteuid()
	temporary := filepath.Join(os.TempDir(), "layoutfs-"+strconv.Itoa(uid))
	if uid == 0 {
		return []string{"/run/layoutfs", temporary}
	}
	if run := os.Getenv("XDG_RUNTIME_DIR"); run != "" {
		return []string{filepath.Join(run, "layoutfs"), temporary}
	}
	return []string{temporary}
}

// makeRuntimeDir makes the first of dirs that can be made.
func makeRuntimeDir(dirs []string) (string, error) {
	var errs []error
	for _, dir := range dirs {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = private(dir)
		}
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("no place for the control socket: %w (choose one with $%s)", errors.Join(errs...), runtimeDirEnv)
}

// private makes sure that a directory is ours alone: in a temporary folder anybody may have put it there.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a directory that is this user's alone", dir)
	}
	return nil
}

// socketPath is the control socket of a mountpoint, and entryPath the file beside it that its daemon
// keeps locked. The names are hashes because a mountpoint is a path, and a socket's path must be short.
func socketPath(dir, mountpoint string) string { return filepath.Join(dir, key(mountpoint)+".sock") }

func entryPath(dir, mountpoint string) string { return filepath.Join(dir, key(mountpoint)+".json") }

func key(mountpoint string) string {
	sum := sha256.Sum256([]byte(mountpoint))
	return hex.EncodeToString(sum[:8])
}
