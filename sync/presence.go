package sync

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"

	"github.com/layoutfs/layoutfs/index"
)

const (
	// believe is how long a blob that was seen in the bucket is taken to be there without asking: a
	// client that finds it does not write it, so a false belief costs an export.
	believe = 3 * time.Minute
	// rely is the same for a manifest that is about to be published.
	rely = time.Minute
	// doubt is how long a blob that was not found is taken to be missing. A client asks several times
	// before it writes; a name that appears ends all doubts.
	doubt = 10 * time.Second
	// remembered bounds the answers that are kept.
	remembered = 100_000
)

// presence knows which blobs are in the bucket: it asks once where many want to know, and remembers.
type presence struct {
	bucket BlobBucket
	index  *index.Index
	flight singleflight.Group
	run    func(func(context.Context)) // in the background

	mu           sync.Mutex // guards following; a leaf
	answers      map[digest.Digest]answer
	last         *survey       // nil: none
	surveying    chan struct{} // closed when the survey under way is over; nil: none is
	lastMiss     time.Time
	atLeast      int       // so many blobs the bucket had
	counted      time.Time // when that was found
	reconsidered time.Time // when all doubts ended
}

// believed says whether a blob was in the bucket so short a time ago that it need not be asked.
func believed(rec index.Blob) bool { return rec.Where&index.Bucket != 0 && within(believe, rec.Seen) }

// within says whether a time of the index is no longer ago than d. One to come is of a clock that was set back since, and no
// answer.
func within(d time.Duration, at time.Time) bool {
	age := time.Since(at)
	return age >= 0 && age < d
}

// answer is what the bucket said of a blob.
type answer struct {
	at       time.Time
	found    bool
	size     int64
	modified time.Time
}

func newPresence(b BlobBucket, x *index.Index, run func(func(context.Context))) *presence {
	return &presence{bucket: b, index: x, run: run, answers: map[digest.Digest]answer{}}
}

// recall returns a remembered answer that is young enough: a missing blob is doubted soon.
func (p *presence) recall(d digest.Digest, maxAge time.Duration) (answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.answers[d]
	age := time.Since(a.at)
	return a, ok && (a.found && age < maxAge || !a.found && age < doubt)
}

// ask returns what the bucket says of a blob, now or at most maxAge ago. A blob that is not there is no error.
func (p *presence) ask(ctx context.Context, d digest.Digest, maxAge time.Duration) (answer, error) {
	if a, ok := p.recall(d, maxAge); ok {
		return a, nil
	}
	ch := p.flight.DoChan(string(d), func() (any, error) {
		// The answer is for all who wait: one that gives up must not take it from the others. The
		// bucket bounds the time of a request.
		return p.learn(context.WithoutCancel(ctx), d)
	})
	select {
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	case r := <-ch:
		if r.Err != nil {
			return answer{}, r.Err
		}
		return r.Val.(answer), nil
	}
}

// learn asks, unless a survey has not seen the blob.
func (p *presence) learn(ctx context.Context, d digest.Digest) (a answer, err error) {
	p.mu.Lock()
	lacks := p.last.lacks(d)
	p.mu.Unlock()
	if lacks {
		a, err = answer{at: time.Now()}, p.missing(d)
	} else {
		a, err = p.head(ctx, d)
	}
	if err == nil && !a.found && p.missed() {
		p.survey(surveyed)
	}
	return a, err
}

func (p *presence) head(ctx context.Context, d digest.Digest) (answer, error) {
	obj, err := p.bucket.StatBlob(ctx, d)
	if errors.Is(err, iofs.ErrNotExist) {
		return answer{at: time.Now()}, p.missing(d)
	}
	if err != nil {
		return answer{}, fmt.Errorf("look for blob %s in the bucket: %w", d, err)
	}
	return p.found(d, obj.Size, obj.LastModified)
}

// found notes that a blob is in the bucket.
func (p *presence) found(d digest.Digest, size int64, modified time.Time) (answer, error) {
	a := answer{at: time.Now(), found: true, size: size, modified: modified}
	p.remember(d, a)
	return a, p.note(d, size, a.at)
}

// note has the index know that a blob was in the bucket.
func (p *presence) note(d digest.Digest, size int64, at time.Time) error {
	return p.index.UpdateBlob(d, func(b *index.Blob) {
		b.Size, b.Seen = size, at
		b.Where |= index.Bucket
	})
}

// missing notes that a blob is not in the bucket, so that the next export writes it again.
func (p *presence) missing(d digest.Digest) error {
	p.remember(d, answer{at: time.Now()})
	if _, ok, err := p.index.Blob(d); err != nil || !ok {
		return err
	}
	return p.index.UpdateBlob(d, func(b *index.Blob) {
		b.Where &^= index.Bucket
		b.Seen = time.Time{}
	})
}

func (p *presence) remember(d digest.Digest, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.answers) >= remembered {
		clear(p.answers)
	}
	p.answers[d] = a
}

// reconsider ends all doubts: a name has changed, and its blobs are in the bucket now.
func (p *presence) reconsider() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.reconsidered = nil, time.Now()
	for d, a := range p.answers {
		if !a.found {
			delete(p.answers, d)
		}
	}
}
