package fs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/opencontainers/go-digest"
)

// How long the kernel may remember. Files are looked up anew each time: whether a blob is there must be
// asked (a blob found gone is to be written again), and a scratch file may have become something else.
const (
	dirTTL  = time.Minute // directories that only this mount's clients change
	blobTTL = time.Minute // attributes of a blob, which does not change
	// nameTTL is for the name of a blob. An import looks it up three times for each MiB, and for others it is
	// soon enough that one is gone.
	nameTTL    = 100 * time.Millisecond
	scratchTTL = time.Second // attributes of scratch, which the kernel drops itself when it writes
)

// tree is what all nodes of a mount share.
type tree struct {
	blobs Blobs
	names Names
	log   *slog.Logger

	failed func(error) // is told of what clients are told as EIO

	root  string // mirrors the mount's scratch on local disk
	spool string // what is written anew over an existing blob, and copies that become blobs

	uid, gid, umask uint32
	refresh         time.Duration
	lockWait        time.Duration
	born            time.Time // the time of directories that exist only here

	room  room
	dates dates
	turns turns

	ctx     context.Context // ends with the mount
	backing *backing
	writers writers

	blobNodes   *remembered
	layoutNodes *remembered

	// moves is held exclusively to change where scratch is, and shared to rely on it. It guards every
	// place, and is held over calls to the local disk at most.
	moves sync.RWMutex
	homes homes
	inos  inos
}

func newTree(ctx context.Context, o Options) (*tree, error) {
	t := &tree{
		blobs: o.Blobs, names: o.Names, log: o.Log, failed: o.Failed, ctx: ctx, room: room{admits: o.Admit, ample: o.Ample},
		root: filepath.Join(o.Scratch, "tree"), spool: filepath.Join(o.Scratch, "spool"),
		uid: o.UID, gid: o.GID, umask: o.Umask, refresh: o.Refresh, lockWait: o.lockWait, born: time.Now(),
		backing: newBacking(), dates: dates{of: map[digest.Digest]times{}}, turns: turns{of: map[turn]bool{}},
		homes:     homes{at: map[home]fusefs.InodeEmbedder{}},
		blobNodes: newRemembered(o.remember), layoutNodes: newRemembered(o.remember),
	}
	for _, dir := range []string{t.root, t.spool} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("create the scratch folder: %w", err)
		}
	}
	return t, nil
}

// outliveNames waits until the kernel has forgotten all names of blobs that it knows by now. A client that is told that
// a blob is gone may export again at once, and must not find it by its name: it would not write it.
func (t *tree) outliveNames() {
	const ticks = 20 * time.Millisecond // the kernel counts such times in its ticks, of up to 10 ms
	forgotten := time.NewTimer(nameTTL + ticks)
	defer forgotten.Stop()
	select {
	case <-forgotten.C:
	case <-t.ctx.Done():
	}
}
