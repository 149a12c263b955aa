package sync

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// surveyed is up to how many blobs a bucket is listed, and not asked of each: ten requests at most.
	surveyed = 10_000
	// onePage is the same where somebody waits for it: what one request lists.
	onePage = 1_000
	// worthAPage is of how many blobs that are asked for at once a listing is begun first.
	worthAPage = 8
	// surveyWithin is how long that is waited for. Some servers go through all blobs to list a few.
	surveyWithin = 250 * time.Millisecond
	// missesWithin is how close together blobs must be missed for that. An export looks for each layer that
	// it has, one after the other, before it writes it.
	missesWithin = time.Second
	// resurvey is how old a survey may be before the next one is begun, so that it is there in time.
	resurvey = doubt / 2
	// largeFor is how long a bucket that has too many blobs, or cannot be listed, is left alone.
	largeFor = 10 * time.Minute
)

// survey is what a bucket had a moment ago. What it had not is believed to be missing for as long as any blob that
// was asked for and not found. What it had can be read; before it is relied on for a publication the bucket is asked:
// it may be gone, or too old.
type survey struct {
	began time.Time
	blobs map[digest.Digest]int64 // sizes
}

func (s *survey) isYoung() bool { return s != nil && time.Since(s.began) < doubt }

// lacks says whether a blob was not there, if that was not too long ago.
func (s *survey) lacks(d digest.Digest) bool {
	if !s.isYoung() {
		return false
	}
	_, there := s.blobs[d]
	return !there
}

// expect is told that somebody is about to ask for that many blobs. Of a small bucket one listing answers for all.
func (p *presence) expect(ctx context.Context, blobs int) {
	if blobs < worthAPage {
		return
	}
	p.survey(onePage)
	p.await(ctx)
}

// expectOne is told that somebody is about to read a manifest. Where a survey is under way, it answers for that, too.
func (p *presence) expectOne(ctx context.Context, manifest ocispec.Descriptor) error {
	p.await(ctx)
	_, err := p.seen(manifest.Digest, manifest.Size)
	return err
}

// await waits for a survey that is under way, for a moment.
func (p *presence) await(ctx context.Context) {
	p.mu.Lock()
	coming := p.surveying
	p.mu.Unlock()
	if coming == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, surveyWithin)
	defer cancel()
	select {
	case <-coming:
	case <-ctx.Done():
	}
}

// seen says whether a survey has seen a blob of that size, and notes it.
func (p *presence) seen(d digest.Digest, size int64) (bool, error) {
	p.mu.Lock()
	s := p.last
	p.mu.Unlock()
	if !s.isYoung() {
		return false, nil
	}
	if n, ok := s.blobs[d]; !ok || n != size {
		return false, nil
	}
	return true, p.note(d, size, s.began)
}

// missed notes that a blob was looked for in vain, and says whether that happens often.
func (p *presence) missed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	often := now.Sub(p.lastMiss) < missesWithin
	p.lastMiss = now
	return often
}

// survey begins to list a bucket of fewer than most blobs, unless that was done or tried a moment ago.
func (p *presence) survey(most int) {
	p.mu.Lock()
	recent := p.last != nil && time.Since(p.last.began) < resurvey
	large := p.atLeast >= most && time.Since(p.counted) < largeFor
	begin := !recent && !large && p.surveying == nil
	if begin {
		p.surveying = make(chan struct{})
	}
	p.mu.Unlock()
	if begin {
		p.run(func(ctx context.Context) { p.look(ctx, most) })
	}
}

// look surveys the bucket.
func (p *presence) look(ctx context.Context, most int) {
	s := &survey{began: time.Now(), blobs: map[digest.Digest]int64{}}
	var failed error
	for o, err := range p.bucket.ListBlobs(ctx) {
		if failed = err; err != nil || len(s.blobs) == most {
			break
		}
		s.blobs[o.Digest] = o.Size
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.surveying)
	p.surveying = nil
	p.atLeast, p.counted = len(s.blobs), s.began
	switch {
	case failed != nil:
		p.last, p.atLeast = nil, surveyed
	case len(s.blobs) == most:
		p.last = nil
	case s.began.After(p.reconsidered):
		p.last = s
	}
}
