package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/opencontainers/go-digest"
)

// target is the digest that the scratch file must have because of where it is.
func (n *file) target() (digest.Digest, bool) {
	n.t.moves.RLock()
	defer n.t.moves.RUnlock()
	if n.at.gone != nil {
		return "", false
	}
	return n.at.in.target(n.at.name)
}

// closed is what a close by a writer starts: the commit of what has the name of a blob.
func (n *file) closed(ctx context.Context) syscall.Errno {
	d, ok := n.target()
	switch {
	case !ok:
		n.prepare(ctx)
		return 0
	case n.draft.takeWritten() || n.isEmpty(d):
		n.noteWriter(d)
		return n.draft.judged(n.t.fail(ctx, "close", n, n.commit(ctx, d)))
	}
	return n.draft.verdict(ctx)
}

// noteWriter notes in which layout the file is made a blob.
func (n *file) noteWriter(d digest.Digest) {
	n.t.moves.RLock()
	defer n.t.moves.RUnlock()
	n.t.noteWriter(n.at.in, d)
}

// prepare tells of a closed scratch file that may soon be committed. Like the commit it goes on when the client is
// interrupted: the rename would have to begin anew.
func (n *file) prepare(ctx context.Context) {
	p, ok := n.t.blobs.(Preparer)
	if !ok || n.draft.gate.now() != open || !n.draft.takeWritten() {
		return
	}
	var scope, path string
	err := n.t.at(&n.at, func(p string) error {
		scope, path = n.at.in.inLayout().scope, p
		return nil
	})
	if err == nil {
		p.Prepare(context.WithoutCancel(ctx), scope, path)
	}
}

// isEmpty says whether the file is complete without a single write.
func (n *file) isEmpty(d digest.Digest) bool {
	if n.draft.gate.now() != open || d != d.Algorithm().FromBytes(nil) {
		return false
	}
	size := int64(-1)
	err := n.t.at(&n.at, func(path string) error {
		st, err := lstat(path)
		if err == nil {
			size = st.Size
		}
		return err
	})
	return err == nil && size == 0
}

// commit makes a blob of the scratch file. From here on its bytes do not change, unless that fails.
func (n *file) commit(ctx context.Context, d digest.Digest) error {
	done, err := n.draft.gate.commit(ctx, func(ctx context.Context) error { return n.handOver(ctx, d) })
	switch {
	case err == nil && done:
		n.draft.accepted()
		n.leaveScratch()
	case err == nil && n.digestNow() != d:
		return syscall.EPERM
	}
	return err
}

// leaveScratch notes that the file is a blob, and not on local disk any more.
func (n *file) leaveScratch() {
	n.t.moves.Lock()
	defer n.t.moves.Unlock()
	if n.at.gone == nil && n.t.homes.of(n.at.in, n.at.name) == fusefs.InodeEmbedder(n) {
		n.t.homes.leave(&n.at)
	}
}

// handOver commits the file, or a copy if somebody may still write to it whom the gate does not keep out.
func (n *file) handOver(ctx context.Context, d digest.Digest) error {
	path, done, err := n.settled(ctx)
	if err != nil {
		return err
	}
	if err = n.adopt(d, path); err == nil {
		err = n.t.blobs.Commit(ctx, path, d)
	}
	done(err)
	if errors.Is(err, iofs.ErrNotExist) {
		n.t.outliveNames()
	}
	return err
}

// endWriter ends a handle that wrote. Without writers left, what lies at the name of a blob and is
// none will never be one: nothing of it is kept.
func (n *file) endWriter() {
	n.t.moves.Lock()
	defer n.t.moves.Unlock()
	if n.countOut() > 0 || n.at.gone != nil || n.draft.gate.now() != open {
		return
	}
	if _, ok := n.at.in.target(n.at.name); ok {
		n.t.remove(&n.at)
	}
}

// countOut counts a writer out, and returns how many are left.
func (n *file) countOut() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.writers--; n.writers == 0 {
		close(n.left)
	}
	return n.writers
}

// remove removes scratch from local disk, if it is there. Call it with moves held exclusively.
func (t *tree) remove(p *place) {
	path, err := p.path()
	if err != nil {
		return
	}
	st, err := lstat(path)
	if err != nil {
		return
	}
	if err := os.Remove(path); err != nil {
		t.log.Warn("remove scratch", "path", path, "err", err)
		return
	}
	p.drop(t, st)
}
