package daemon

import (
	"context"
	"iter"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/inspect"
)

// readsClosures is how many names of which it is not known yet what they reach are read at once.
const readsClosures = 16

// summaries lists the names, each with a summary of what it reaches; that is read first where it is not known
// yet, once for all listings. What waits for its publication, or cannot be read, is left to who asks.
func (d *Daemon) summaries(ctx context.Context) iter.Seq2[inspect.Listed, error] {
	return func(yield func(inspect.Listed, error) bool) {
		var unread []inspect.Name
		for n, err := range d.names("") {
			if err != nil {
				yield(inspect.Listed{}, err)
				return
			}
			if isUnread(n) {
				unread = append(unread, n)
			} else if !yield(d.listed(n), nil) {
				return
			}
		}
		d.readClosures(ctx, unread)
		for _, n := range unread {
			if !yield(d.listed(n), nil) {
				return
			}
		}
	}
}

// isUnread says whether what a name reaches is not known, and may be read.
func isUnread(n inspect.Name) bool { return n.Closure == nil && n.Broken == "" }

// readClosures reads what names reach, of those of which that is not known.
func (d *Daemon) readClosures(ctx context.Context, names []inspect.Name) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsClosures)
	for i := range names {
		if !isUnread(names[i]) {
			continue
		}
		group.Go(func() error {
			closure, err := d.parts.engine.Closure(ctx, names[i].Name)
			if err == nil && len(closure) > 0 && closure[0].Digest == names[i].Descriptor.Digest {
				names[i].Closure = closure
			}
			return nil // who asks reads it himself, and reports what is wrong
		})
	}
	_ = group.Wait()
}

func (d *Daemon) listed(n inspect.Name) inspect.Listed {
	if isUnread(n) {
		return inspect.Listed{Name: &n}
	}
	sum := inspect.Summarise(n, n.Closure, d.placeOf, false)
	return inspect.Listed{Summary: &sum}
}

// placeOf says where on local disk a blob is.
func (d *Daemon) placeOf(dg digest.Digest) inspect.Place { return placeOf(d.parts.disk.Stat(dg).State) }
