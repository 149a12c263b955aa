package disk

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// sealed is how long a copy that was hashed is taken to be as it was: builders open a blob for each MiB that
	// they read of it.
	sealed = 3 * time.Minute
	// maxSeals bounds what is remembered.
	maxSeals = 10_000
	// hashers is how many copies are hashed at once.
	hashers = 8
)

// stamp tells whether anybody has changed a file. A bit that turned over by itself it does not tell.
type stamp struct {
	ino          uint64
	size         int64
	mtime, ctime syscall.Timespec
}

func stampOf(info os.FileInfo) (of stamp) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		of = stamp{ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim}
	}
	return of
}

// seal is what came of hashing a copy.
type seal struct {
	of  stamp
	at  time.Time
	bad error // not nil: the bytes are wrong
}

// holds says whether a copy need not be hashed again. One that is wrong does not become right.
func (x seal) holds(of stamp) bool {
	return x.of == of && (x.bad != nil || time.Since(x.at) < sealed)
}

// seals remembers which copies were hashed lately, and has each hashed by one at a time.
type seals struct {
	places chan struct{} // for those who hash

	mu      sync.Mutex // guards following; a leaf
	by      map[*entry]seal
	hashing map[*entry]chan struct{} // closed when who hashes it has ended
}

func newSeals() seals {
	return seals{
		places: make(chan struct{}, hashers),
		by:     map[*entry]seal{}, hashing: map[*entry]chan struct{}{},
	}
}

// recall waits for who hashes a copy. It returns the seal that holds then, or the right to hash it, which release
// gives back.
func (x *seals) recall(ctx context.Context, e *entry, of stamp) (known *seal, release func(), err error) {
	for {
		x.mu.Lock()
		if s, ok := x.by[e]; ok && s.holds(of) {
			x.mu.Unlock()
			return &s, nil, nil
		}
		other, busy := x.hashing[e]
		if !busy {
			x.hashing[e] = make(chan struct{})
		}
		x.mu.Unlock()
		if !busy {
			return nil, func() { x.release(e) }, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

func (x *seals) release(e *entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	close(x.hashing[e])
	delete(x.hashing, e)
}

func (x *seals) put(e *entry, s seal) {
	s.at = time.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.by) >= maxSeals {
		clear(x.by)
	}
	x.by[e] = s
}

// putPath seals what was hashed before it came to be at a path.
func (x *seals) putPath(e *entry, path string) {
	if info, err := os.Lstat(path); err == nil {
		x.put(e, seal{of: stampOf(info)})
	}
}

func (x *seals) get(e *entry) (seal, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s, ok := x.by[e]
	return s, ok
}

func (x *seals) drop(e *entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.by, e)
}

// keep does to a file what changes its stamp and not its bytes, and keeps its seal if it has one.
func (x *seals) keep(e *entry, from, to string, change func() error) error {
	old, ok := x.get(e)
	if ok {
		info, err := os.Lstat(from)
		ok = err == nil && stampOf(info) == old.of
	}
	err := change()
	if !ok || err != nil {
		return err
	}
	if info, err := os.Lstat(to); err == nil {
		x.restamp(e, old, stampOf(info))
	}
	return nil
}

func (x *seals) restamp(e *entry, old seal, of stamp) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.by[e]; s.of == old.of {
		s.of = of
		x.by[e] = s
	}
}
