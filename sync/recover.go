package sync

import (
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// recover takes up the queue where the previous run left it. The queue is the files in staged/: what
// they hold is uploaded (unless the bucket has it, the reply may have been lost), then the names that
// wait are published. The index is brought in line with the disk, which is the truth.
func (e *Engine) recover() error {
	if err := e.reconcile(); err != nil {
		return err
	}
	if e.o.ReadOnly {
		return nil
	}
	for info := range e.disk.All() {
		if info.State == disk.Staged {
			e.uploader.add(info.Digest, info.Size, true)
		}
	}
	if err := e.recoverPending(); err != nil {
		return fmt.Errorf("recover the publications that wait: %w", err)
	}
	e.background.run(e.publisher)
	e.dropUnfinished()
	return nil
}

func (e *Engine) recoverPending() error {
	docs, err := e.disk.Pending()
	if err != nil {
		return err
	}
	for name, doc := range docs {
		var p pendingName
		if err := json.Unmarshal(doc, &p); err != nil {
			e.log.Error("a publication that waits is damaged", "name", name, "err", err)
			continue
		}
		known, ok, err := e.index.Name(name)
		if err == nil && (!ok || known.Descriptor.Digest != p.Descriptor.Digest) {
			known = index.Name{Name: name, Descriptor: p.Descriptor}
			err = e.index.PutName(known)
		}
		if err != nil {
			return err
		}
		e.catalog.set(name, entry{desc: p.Descriptor, read: len(known.Closure) > 0, unpublish: true, early: p.Early})
		e.pending.put(name, doc)
	}
	return nil
}

// reconcile restores recency from the index to the disk, and what is local from the disk to the index.
func (e *Engine) reconcile() error {
	var stale []index.Blob
	for b, err := range e.index.Blobs() {
		if err != nil {
			return fmt.Errorf("read the blobs of the index: %w", err)
		}
		here := e.disk.Stat(b.Digest).State
		if here != disk.Absent && !b.Used.IsZero() {
			e.disk.Touch(b.Digest, b.Used)
		}
		if b.Where&index.Local != 0 && here != disk.Warm && here != disk.Staged {
			b.Where &^= index.Local
			stale = append(stale, b)
		}
	}
	if err := e.index.PutBlobs(stale...); err != nil {
		return fmt.Errorf("bring the index in line with the disk: %w", err)
	}
	return e.adopt()
}

// adopt notes the local blobs that the index does not know: it may have been removed.
func (e *Engine) adopt() error {
	for info := range e.disk.All() {
		if info.State != disk.Warm && info.State != disk.Staged {
			continue
		}
		rec, ok, err := e.index.Blob(info.Digest)
		if err == nil && ok && rec.Where&index.Local != 0 {
			continue
		}
		if err == nil {
			err = e.index.UpdateBlob(info.Digest, func(b *index.Blob) {
				b.Size, b.Used = info.Size, info.Used
				b.Where |= index.Local
			})
		}
		if err != nil {
			return fmt.Errorf("note blob %s in the index: %w", info.Digest, err)
		}
	}
	return nil
}

// recall has status tell that the index is damaged, and is what it begins anew with: what is on the disk, and the names that were learnt.
func (e *Engine) recall(why error) index.Known {
	e.guard.note(why)
	k := index.Known{Names: e.catalog.recall()}
	for info := range e.disk.All() {
		if info.State == disk.Warm || info.State == disk.Staged {
			k.Blobs = append(k.Blobs, index.Blob{Digest: info.Digest, Size: info.Size, Where: index.Local, Used: info.Used})
		}
	}
	return k
}

func isNotExist(err error) bool { return errors.Is(err, iofs.ErrNotExist) }
