package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	layoutfs "github.com/layoutfs/layoutfs/fs"
)

const areaMachine = "machine"

// machine tries to mount.
func machine(ctx context.Context, o Options, yield func(Finding) bool) bool {
	if !yield(Finding{Area: areaMachine, What: "kernel", Result: OK, Says: kernel()}) {
		return false
	}
	passthrough, err := tryMount(ctx, o)
	if !yield(judged(areaMachine, "mount with FUSE", err, "")) || err != nil {
		return err != nil
	}
	f := Finding{Area: areaMachine, What: "FUSE passthrough", Result: OK}
	if passthrough != "" {
		f.Result, f.Says = Warn, passthrough
		f.Do = "nothing, or use Linux 6.9 or later as root: warm reads go through the daemon until then"
	}
	return yield(f)
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}

// tryMount mounts an empty layout in a temporary folder; passthrough is why there is none.
func tryMount(ctx context.Context, o Options) (passthrough string, err error) {
	dir, err := os.MkdirTemp("", "layoutfs-doctor-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	mnt, scratch := dir+"/mnt", dir+"/scratch"
	if err := errors.Join(os.Mkdir(mnt, 0o700), os.Mkdir(scratch, 0o700)); err != nil {
		return "", err
	}
	s, err := layoutfs.Mount(ctx, mnt, layoutfs.Options{Blobs: nothing{}, Names: nothing{}, Scratch: scratch, AllowOther: o.AllowOther, Log: o.Log})
	if err != nil {
		return "", err
	}
	_, passthrough = s.Passthrough()
	if _, err := os.ReadFile(mnt + "/oci-layout"); err != nil {
		return passthrough, errors.Join(fmt.Errorf("the mount does not answer: %w", err), s.Detach())
	}
	return passthrough, s.Unmount()
}

// nothing is a bucket with nothing in it.
type nothing struct{}

func (nothing) Stat(context.Context, digest.Digest) (int64, error) { return 0, fs.ErrNotExist }

func (nothing) Open(context.Context, digest.Digest) (layoutfs.Blob, error) {
	return nil, fs.ErrNotExist
}

func (nothing) Commit(context.Context, string, digest.Digest) error { return fs.ErrPermission }

func (nothing) Forget(context.Context, digest.Digest) error { return fs.ErrNotExist }

func (nothing) All(context.Context, string) iter.Seq2[digest.Digest, error] {
	return func(func(digest.Digest, error) bool) {}
}

func (nothing) Index(context.Context, string) ([]byte, error) { return nil, fs.ErrNotExist }

func (nothing) Publish(context.Context, string, []byte, []byte) error { return fs.ErrPermission }

func (nothing) Children(context.Context, string) ([]string, error) { return nil, nil }

func (nothing) Exists(context.Context, string) (bool, error) { return false, nil }

func (nothing) Delete(context.Context, string) error { return fs.ErrPermission }
