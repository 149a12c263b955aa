package prune

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

const (
	// deleters is how many blobs are looked at and deleted at once.
	deleters = 32
	// remarkEvery is how often the names are listed anew while blobs are deleted.
	remarkEvery = 30 * time.Second
)

// run is one pruning of a bucket.
type run struct {
	o     Options
	b     Bucket
	began time.Time // before the first name was listed: ages are counted to this moment
	marks *marks

	mu      sync.Mutex // guards following, and the calls of Removed
	report  Report
	deleted map[key]digest.Digest
}

// Run prunes a bucket.
func Run(ctx context.Context, b Bucket, o Options) (Report, error) {
	if o.now == nil {
		o.now = time.Now
	}
	r := &run{o: o, b: b, began: o.now(), marks: newMarks(b), deleted: map[key]digest.Digest{}}
	r.report.DryRun = o.DryRun
	pins, err := b.Pins(ctx)
	if err != nil {
		return r.report, err
	}
	if _, err := r.marks.refresh(ctx); err != nil {
		return r.report, fmt.Errorf("nothing is pruned: %w", err)
	}
	if err := r.names(ctx, r.o.victims(r.marks, pins, r.began)); err != nil {
		return r.report, err
	}
	r.report.KeptNames = len(r.marks.names)
	err = r.sweep(ctx)
	if err == nil {
		err = r.uploads(ctx)
	}
	r.report.Interrupted = ctx.Err() != nil
	if len(r.deleted) == 0 {
		return r.report, err
	}
	// Also after an error: what was deleted must not be missing unseen.
	return r.report, errors.Join(err, r.checkLost(context.WithoutCancel(ctx)))
}

func (r *run) removed(v Removal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch v.Kind {
	case Name:
		r.report.Names++
	case Blob:
		r.report.Blobs++
		r.report.Bytes += v.Size
	case Upload:
		r.report.Uploads++
	}
	r.o.Removed(v)
}

func (r *run) log(format string, args ...any) {
	if r.o.Log != nil {
		r.o.Log(fmt.Sprintf(format, args...))
	}
}

// names deletes the names that are to go; one that was written since it was listed stays.
func (r *run) names(ctx context.Context, all []victim) error {
	for _, v := range all {
		removal := Removal{Kind: Name, Name: v.name, Size: r.marks.unique(v.known), Time: v.version.LastModified, Reason: v.reason}
		if !r.o.DryRun {
			changed, err := r.deleteName(ctx, v, removal)
			if err != nil {
				return err
			}
			if changed {
				r.log("name %q was written meanwhile, and stays", v.name)
				continue
			}
		}
		r.marks.unmark(v.known)
		delete(r.marks.names, v.name)
		r.removed(removal)
	}
	return nil
}

// deleteName looks at a name once more, and deletes it if it was not written meanwhile.
func (r *run) deleteName(ctx context.Context, v victim, removal Removal) (changed bool, err error) {
	now, err := r.b.GetName(ctx, v.name)
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	if err != nil || now.Version != v.version {
		return true, err
	}
	if r.o.pause != nil {
		r.o.pause(removal)
	}
	return false, r.b.DeleteName(ctx, v.name)
}

// sweep deletes the blobs that no name reaches and that nobody has written or touched for the grace period.
func (r *run) sweep(ctx context.Context) error {
	before := r.began.Add(-r.o.Grace)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(deleters)
	marked := r.o.now()
	var listing error
	for o, err := range r.b.ListBlobs(gctx) {
		if err != nil {
			listing = err
			break
		}
		if r.o.Scanned != nil {
			r.o.Scanned(1)
		}
		if !r.takes(o, before) {
			continue
		}
		if r.o.DryRun {
			r.removed(removalOf(o))
			continue
		}
		if r.o.now().Sub(marked) > remarkEvery {
			if _, err := r.marks.refresh(gctx); err != nil {
				listing = fmt.Errorf("no more is pruned: %w", err)
				break
			}
			if marked = r.o.now(); r.marks.reached(o.Digest) {
				r.keep(o)
				continue
			}
		}
		group.Go(func() error { return r.deleteBlob(gctx, o, before) })
	}
	return errors.Join(listing, group.Wait())
}

func removalOf(o bucket.Object) Removal {
	return Removal{Kind: Blob, Digest: o.Digest, Size: o.Size, Time: o.LastModified, Reason: "no name reaches it"}
}

// takes says whether a blob goes, and counts those that stay.
func (r *run) takes(o bucket.Object, before time.Time) bool {
	if !r.marks.reached(o.Digest) {
		if o.LastModified.Before(before) {
			return true
		}
		r.mu.Lock()
		r.report.TooYoung++
		r.mu.Unlock()
	}
	r.keep(o)
	return false
}

func (r *run) keep(o bucket.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.KeptBlobs++
	r.report.KeptBytes += o.Size
}

// deleteBlob looks at a blob once more, and deletes it if nobody has touched it meanwhile.
func (r *run) deleteBlob(ctx context.Context, o bucket.Object, before time.Time) error {
	now, err := r.b.StatBlob(ctx, o.Digest)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !now.LastModified.Before(before):
		r.log("blob %s was touched meanwhile, and stays", o.Digest)
		r.keep(now)
		return nil
	}
	removal := removalOf(now)
	if r.o.pause != nil {
		r.o.pause(removal)
	}
	// It may be gone even if the answer is lost.
	r.mu.Lock()
	r.deleted[keyOf(o.Digest)] = o.Digest
	r.mu.Unlock()
	if err := r.b.DeleteBlob(ctx, o.Digest); err != nil {
		return err
	}
	r.removed(removal)
	return nil
}

// uploads drops unfinished uploads that were begun before the grace period.
func (r *run) uploads(ctx context.Context) error {
	for u, err := range r.b.ListUploads(ctx) {
		if err != nil {
			return err
		}
		if !u.Begun.Before(r.began.Add(-r.o.Grace)) {
			continue
		}
		if !r.o.DryRun {
			if err := r.b.DropUpload(ctx, u); err != nil {
				return err
			}
		}
		r.removed(Removal{Kind: Upload, Digest: u.Digest, Time: u.Begun, Reason: "begun and not finished"})
	}
	return nil
}

// checkLost looks whether a name that was written while blobs were deleted reaches one of them. The one may be
// its manifest: that it cannot be read is then no other error.
func (r *run) checkLost(ctx context.Context) error {
	changed, unread := r.marks.refresh(ctx)
	if u := (*unreadableError)(nil); unread != nil && !errors.As(unread, &u) {
		return fmt.Errorf("look whether names were written meanwhile: %w", unread)
	}
	var errs []error
	for _, name := range changed {
		lost, err := r.lost(ctx, r.marks.names[name])
		if err != nil {
			return err
		}
		if len(lost) > 0 {
			errs = append(errs, &LostError{Name: name, Lost: lost})
		}
	}
	if len(errs) == 0 && unread != nil {
		// What made it unreadable is there again, or was deleted by somebody else. A mount looks at the blobs of
		// a name that it has just written, too, and uploads those that went meanwhile.
		if _, unread = r.marks.refresh(ctx); unread != nil {
			return fmt.Errorf("look whether names were written meanwhile: %w", unread)
		}
	}
	return errors.Join(errs...)
}

// lost lists the blobs of a name that were deleted and are not there again.
func (r *run) lost(ctx context.Context, n *known) (lost []digest.Digest, err error) {
	of := map[int32]bool{}
	for _, at := range n.blobs {
		of[at] = true
	}
	for k, d := range r.deleted {
		at, ok := r.marks.at[k]
		if !ok || !of[at] {
			continue
		}
		_, err := r.b.StatBlob(ctx, d)
		if errors.Is(err, iofs.ErrNotExist) {
			lost = append(lost, d)
		} else if err != nil {
			return nil, err
		}
	}
	return lost, nil
}
