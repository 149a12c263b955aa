package sync

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

const (
	// surveyed is up to how many blobs a bucket is listed, and not asked of each: ten requests at most.
	surveyed = 10_000
	// missesWithin is how close together blobs must be missed for that. An export looks for each layer that
	// it has, one after the other, before it writes it.
	missesWithin = time.Second
	// resurvey is how old a survey may be before the next one is begun, so that it is there in time.
	resurvey = doubt / 2
	// largeFor is how long a bucket that has too many blobs, or cannot be listed, is left alone.
	largeFor = 10 * time.Minute
)

// survey is all that a bucket had a moment ago. What it has not is believed to be missing for as long as any
// blob that was asked for and not found.
type survey struct {
	began   time.Time
	objects map[digest.Digest]bucket.Object
}

// tell answers for a blob, if the survey is young enough.
func (s *survey) tell(d digest.Digest) (o bucket.Object, found, ok bool) {
	if s == nil || time.Since(s.began) >= doubt {
		return bucket.Object{}, false, false
	}
	o, found = s.objects[d]
	return o, found, true
}

// missed notes that a blob was looked for in vain, and says whether a survey is to be begun.
func (p *presence) missed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	often := now.Sub(p.lastMiss) < missesWithin
	p.lastMiss = now
	recent := p.survey != nil && now.Sub(p.survey.began) < resurvey
	if !often || recent || p.surveying || now.Sub(p.large) < largeFor {
		return false
	}
	p.surveying = true
	return true
}

// look surveys the bucket.
func (p *presence) look(ctx context.Context) {
	s := &survey{began: time.Now(), objects: map[digest.Digest]bucket.Object{}}
	var failed error
	for o, err := range p.bucket.ListBlobs(ctx) {
		if failed = err; err != nil || len(s.objects) == surveyed {
			break
		}
		s.objects[o.Digest] = o
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.surveying = false
	switch {
	case failed != nil || len(s.objects) == surveyed:
		p.survey, p.large = nil, s.began
	case s.began.After(p.reconsidered):
		p.survey = s
	}
}
