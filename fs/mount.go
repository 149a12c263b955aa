package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	// fsType is what mount tells behind "fuse.".
	fsType = "layoutfs"
	// maxRequest is the most that the kernel reads or writes at once, in bytes.
	maxRequest = 1 << 20
	// maxBackground is how many reads ahead and releases the kernel keeps going at once.
	maxBackground = 64
)

// Server is a mount that is being served.
type Server struct {
	mountpoint string
	fuse       *fuse.Server
	tree       *tree
	end        context.CancelFunc
}

// Mount mounts on a folder, and serves until it is unmounted. It returns when the mount answers. Root
// mounts by itself; anyone else needs fusermount3.
func Mount(ctx context.Context, mountpoint string, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := Check(mountpoint, o.AllowOther); err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	s, err := mount(ctx, mountpoint, o)
	if err != nil {
		end()
		return nil, fmt.Errorf("mount on %s: %w", mountpoint, err)
	}
	s.end = end
	return s, nil
}

func mount(ctx context.Context, mountpoint string, o Options) (*Server, error) {
	t, err := newTree(ctx, o)
	if err != nil {
		return nil, err
	}
	t.sweep(time.Now())
	opts, err := fuseOptions(o)
	if err != nil {
		return nil, err
	}
	raw := &bridge{RawFileSystem: fusefs.NewNodeFS(newLayoutDir(t, ""), opts), backing: t.backing}
	server, err := fuse.NewServer(raw, mountpoint, &opts.MountOptions)
	if err != nil {
		return nil, abandon(mountpoint, err)
	}
	t.backing.probe(server, t.spool)
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return nil, abandon(mountpoint, fmt.Errorf("wait for the mount to answer: %w", err))
	}
	go t.blobNodes.trim(ctx)
	go t.layoutNodes.trim(ctx)
	return &Server{mountpoint: mountpoint, fuse: server, tree: t}, nil
}

// abandon removes what there is of a mount that failed.
func abandon(mountpoint string, err error) error {
	if !errors.Is(checkFree(mountpoint), syscall.EBUSY) {
		return err
	}
	return errors.Join(err, unmount(mountpoint, unix.MNT_DETACH))
}

func fuseOptions(o Options) (*fusefs.Options, error) {
	depth, err := stackDepth(o.Scratch)
	if err != nil {
		return nil, err
	}
	logger := slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn)
	opts := &fusefs.Options{
		NullPermissions:   true,
		FirstAutomaticIno: 2,
		RootStableAttr:    &fusefs.StableAttr{Ino: 1},
		Logger:            logger,
		MountOptions: fuse.MountOptions{
			AllowOther:         o.AllowOther,
			Options:            []string{"default_permissions"},
			FsName:             o.Source,
			Name:               fsType,
			MaxWrite:           maxRequest,
			MaxBackground:      maxBackground,
			MaxStackDepth:      depth,
			DisableXAttrs:      true,
			DisableReadDirPlus: true, // a listing costs no stat per blob
			DisableSplice:      true, // a pipe does not hold a request of 1 MiB and its header: each would fail, and be logged
			ExtraCapabilities:  fuse.CAP_DIRECT_IO_ALLOW_MMAP | fuse.CAP_ATOMIC_O_TRUNC,
			Logger:             logger,
			PanicHandler:       func(p any) fuse.Status { return panicked(o.Log, p) },
		},
	}
	if os.Geteuid() == 0 {
		opts.DirectMountStrict = true
		opts.DirectMountFlags = unix.MS_NOSUID | unix.MS_NODEV
		if o.ReadOnly {
			opts.DirectMountFlags |= unix.MS_RDONLY
		}
	} else if o.ReadOnly {
		opts.Options = append(opts.Options, "ro")
	}
	return opts, nil
}

// panicked keeps a fault in one request from ending the mount, and with it every build that uses it.
func panicked(log *slog.Logger, p any) fuse.Status {
	log.Error("a request failed in an unforeseen way", "panic", p, "stack", string(debug.Stack()))
	return fuse.Status(syscall.EIO)
}

// Wait returns when the mount has ended, whoever unmounted it.
func (s *Server) Wait() {
	s.fuse.Wait()
	s.end()
}

// Passthrough says whether the kernel reads complete blobs from local disk by itself, and why not.
func (s *Server) Passthrough() (on bool, why string) {
	return s.tree.backing.off == "", s.tree.backing.off
}
