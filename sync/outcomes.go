package sync

import (
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	// maxSettled bounds the manifests whose outcome is remembered.
	maxSettled = 10_000
	// retold is how long a failure that Prepare met is Commit's, too: the client renames what it closed a
	// moment ago.
	retold = 3 * time.Second
)

// How far a manifest is.
type passed int

const (
	atBarrier passed = iota // what it names is in the bucket
	settled                 // it is there itself
)

// outcome is how a manifest fared at the barrier.
type outcome struct {
	passed passed
	err    error
	at     time.Time
}

// outcomes remembers how manifests fared, so that a commit after its Prepare, and a publication after
// its commit, cost one request.
type outcomes struct {
	mu sync.Mutex // guards following; a leaf
	by map[digest.Digest]outcome
}

func (o *outcomes) put(d digest.Digest, oc outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by == nil || len(o.by) >= maxSettled {
		o.by = map[digest.Digest]outcome{}
	}
	oc.at = time.Now()
	o.by[d] = oc
}

// failed returns the failure that Prepare met, once: a client that tries again is tried again.
func (o *outcomes) failed(d digest.Digest) error {
	oc, ok := o.get(d)
	if !ok || oc.err == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.by, d)
	return oc.err
}

func (o *outcomes) get(d digest.Digest) (outcome, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	oc, ok := o.by[d]
	age := time.Since(oc.at)
	return oc, ok && (oc.err == nil && age < rely || oc.err != nil && age < retold)
}

func (e *Engine) settle(d digest.Digest) { e.outcomes.put(d, outcome{passed: settled}) }

func (e *Engine) isSettled(d digest.Digest) bool {
	o, ok := e.outcomes.get(d)
	return ok && o.err == nil && o.passed == settled
}
