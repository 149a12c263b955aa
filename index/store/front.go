package store

import (
	"errors"
	"sync"
)

const (
	// frontSize is how many bytes of keys and values a Front remembers.
	frontSize = 8 << 20
	// largeValue is what is not remembered when it is read, in bytes: a name with thousands of layers.
	largeValue = 64 << 10
	// queueSize is how many bytes of changes may wait: who writes more waits for them.
	queueSize = 4 << 20
)

// Front stands before the process that has a database open, since a request to it takes a quarter of a millisecond on some
// machines. It answers at once what it remembers, which is everything if there is little, and changes are acknowledged before they are made,
// one after the other. Those that were not made when this process dies are lost, as if it had died before.
type Front struct {
	behind entries

	mu     sync.Mutex        // guards following; a leaf
	moved  *sync.Cond        // made or err has changed
	known  map[string][]byte // what was read or written, nil for what is not there; holds all that is queued
	size   int               // bytes of known
	whole  bool              // known is everything
	queue  []Change          // not made yet
	queued int               // bytes of queue
	asked  uint64            // how many changes were asked for
	made   uint64            // how many of them are made
	err    error             // of the last attempt, ErrLost or errClosed

	wake chan struct{} // there are changes to make; holds one
	once sync.Once     // of Close
	stop chan struct{} // closed to have it end
	idle chan struct{} // closed when it has
}

// entries are what a Front stands before.
type entries interface {
	Get(key []byte) ([]byte, error)
	Page(prefix, after []byte, values bool) (page []Entry, more bool, err error)
	Write(changes ...Change) error
	Close() error
}

// newFront reads what there is, if that is little.
func newFront(behind entries) (*Front, error) {
	f := &Front{
		behind: behind, known: map[string][]byte{}, whole: true,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), idle: make(chan struct{}),
	}
	f.moved = sync.NewCond(&f.mu)
	var after []byte
	for more := true; more && f.whole; {
		var page []Entry
		var err error
		if page, more, err = behind.Page(nil, after, true); err != nil {
			return nil, err
		}
		for _, e := range page {
			after = e.Key
			f.note(e.Key, value(e.Value))
		}
		f.forget()
	}
	go f.makeChanges()
	return f, nil
}

// value is one that is there.
func value(v []byte) []byte {
	if v == nil {
		return []byte{}
	}
	return v
}

func (f *Front) note(key, value []byte) {
	if old, ok := f.known[string(key)]; ok {
		f.size -= len(key) + len(old)
	}
	f.known[string(key)] = value
	f.size += len(key) + len(value)
}

func (f *Front) noteChanges(changes []Change) {
	for _, c := range changes {
		if c.Delete {
			f.note(c.Key, nil)
		} else {
			f.note(c.Key, value(c.Value))
		}
	}
}

// forget forgets everything but what is queued, if that is too much.
func (f *Front) forget() {
	if f.size <= frontSize {
		return
	}
	f.known, f.size, f.whole = map[string][]byte{}, 0, false
	f.noteChanges(f.queue)
}

// Get returns a value that must not be changed, nil if there is none.
func (f *Front) Get(key []byte) ([]byte, error) {
	f.mu.Lock()
	v, ok := f.known[string(key)]
	ok, err, asked := ok || f.whole, f.err, f.asked
	f.mu.Unlock()
	if over(err) {
		return nil, err
	}
	if ok {
		return v, nil
	}
	v, err = f.behind.Get(key)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == asked && len(v) <= largeValue { // nothing newer was written
		f.note(key, v)
		f.forget()
	}
	return v, nil
}

// Page returns entries under a prefix whose keys come after a key, or the first ones, and whether there may be more.
// Without values it is keys alone. What could not be written yet is not among them.
func (f *Front) Page(prefix, after []byte, values bool) (page []Entry, more bool, err error) {
	if err := f.Flush(); over(err) {
		return nil, false, err
	}
	return f.behind.Page(prefix, after, values)
}

// Write has changes made, one after the other. The error is that of earlier ones, of which too many wait.
func (f *Front) Write(changes ...Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.queued > queueSize && f.err == nil {
		f.moved.Wait()
	}
	f.rouse()
	if over(f.err) || f.queued > queueSize {
		return f.err
	}
	for _, c := range changes {
		f.queued += len(c.Key) + len(c.Value)
	}
	f.queue = append(f.queue, changes...)
	f.asked += uint64(len(changes))
	f.noteChanges(changes)
	f.forget()
	return nil
}

func (f *Front) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *Front) makeChanges() {
	defer close(f.idle)
	for {
		select {
		case <-f.stop:
			return
		case <-f.wake:
		}
		for f.makeQueued() {
		}
	}
}

// makeQueued makes the changes that are queued, and says whether there were any and they could be made.
func (f *Front) makeQueued() bool {
	f.mu.Lock()
	changes := f.queue
	f.mu.Unlock()
	if len(changes) == 0 {
		return false
	}
	err := f.behind.Write(changes...)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err = err; err == nil {
		f.queue = f.queue[len(changes):]
		f.made += uint64(len(changes))
		for _, c := range changes {
			f.queued -= len(c.Key) + len(c.Value)
		}
	}
	f.moved.Broadcast()
	return err == nil
}

// Flush has all changes made that were asked for so far.
func (f *Front) Flush() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !over(f.err) {
		f.err = nil // there may be room now
	}
	f.rouse()
	for asked := f.asked; f.made < asked && f.err == nil; {
		f.moved.Wait()
	}
	return f.err
}

// Close makes what is queued, as far as the disk takes it, and closes what is behind.
func (f *Front) Close() (err error) {
	f.once.Do(func() {
		_ = f.Flush() // what a full disk does not take is found again
		close(f.stop)
		<-f.idle
		f.mu.Lock()
		f.err = errClosed
		f.moved.Broadcast()
		f.mu.Unlock()
		err = f.behind.Close()
	})
	return err
}

var errClosed = errors.New("the index is closed")

// over says whether nothing is to be had any more.
func over(err error) bool { return errors.Is(err, ErrLost) || errors.Is(err, errClosed) }
