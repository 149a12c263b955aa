package daemon

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	layoutsync "github.com/layoutfs/layoutfs/sync"
)

// Daemon is a mount that answers. Serve ends it.
type Daemon struct {
	config  Config
	log     *slog.Logger
	engine  engine
	mount   mount
	parts   parts
	cache   CacheStatus
	started time.Time

	listener net.Listener // of the control socket
	web      net.Listener // of the web page; nil: there is none
	undo     undo         // what ends the parts

	leave     chan struct{} // closed when the mount was taken out of the tree by us
	leaveOnce sync.Once
	abandon   atomic.Bool // what remains was told to somebody who accepted it
}

// engine is what the daemon needs of sync.Engine while it serves.
type engine interface {
	Flush(ctx context.Context) error
	Status() layoutsync.Status
}

// mount is what the daemon needs of a mounted file system.
type mount interface {
	// Unmount takes it out of the tree; EBUSY while files are open in it.
	Unmount() error
	// Detach takes it out of the tree though files are open in it.
	Detach() error
	// Wait returns when the kernel has let go of it.
	Wait()
	// Passthrough says whether the kernel reads warm blobs itself, and if not, why.
	Passthrough() (on bool, why string)
}

// Ready says where the mount is and how to use it.
func (d *Daemon) Ready() Ready {
	r := d.config.ready(os.Getpid(), d.cache)
	r.Web = d.webURL()
	return r
}

// left notes that the mount is no longer in the tree, though files may be open in it.
func (d *Daemon) left() { d.leaveOnce.Do(func() { close(d.leave) }) }

// undo ends the parts of a daemon, the last one first.
type undo []func() error

func (u *undo) add(f func() error) { *u = append(*u, f) }
