package sync

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
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

// survey is what a bucket had a moment ago. What it had not is believed to be missing for as long as any blob that
// was asked for and not found. For what it had the bucket is asked: it may be gone, or too old to be relied on.
type survey struct {
	began time.Time
	blobs map[digest.Digest]bool
}

// lacks says whether a blob was not there, if that was not too long ago.
func (s *survey) lacks(d digest.Digest) bool {
	return s != nil && time.Since(s.began) < doubt && !s.blobs[d]
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
	s := &survey{began: time.Now(), blobs: map[digest.Digest]bool{}}
	var failed error
	for o, err := range p.bucket.ListBlobs(ctx) {
		if failed = err; err != nil || len(s.blobs) == surveyed {
			break
		}
		s.blobs[o.Digest] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.surveying = false
	switch {
	case failed != nil || len(s.blobs) == surveyed:
		p.survey, p.large = nil, s.began
	case s.began.After(p.reconsidered):
		p.survey = s
	}
}
