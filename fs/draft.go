package fs

import (
	"context"
	"sync"
	"syscall"
)

// draft is content that may become a blob when it is closed.
//
// A descriptor that was duplicated is closed more than once, and which close is the last is not said. A
// shell opens the file, duplicates it to standard output and closes the first one before anything was
// written. So a close that follows no write is no reason to judge the content, and one that finds
// other content than the name promises reports that, but lets it be until the last writer has gone.
type draft struct {
	gate gate

	mu      sync.Mutex // guards following; a leaf
	written bool       // since it was last judged
	refused syscall.Errno
}

// wrote notes that the content changed.
func (d *draft) wrote() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written = true
}

// truncated notes that it was cut or stretched; what is empty was not written to.
func (d *draft) truncated(size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written, d.refused = size > 0, 0
}

func (d *draft) takeWritten() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.written
	d.written = false
	return was
}

// judged notes how the content was found, for a close that follows without a write between.
func (d *draft) judged(errno syscall.Errno) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = errno
	return errno
}

// accepted notes that it is a blob, whatever was said of it under another name.
func (d *draft) accepted() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = 0
}

// verdict is how the content was found last.
func (d *draft) verdict(ctx context.Context) syscall.Errno {
	if _, err := d.gate.wait(ctx); err != nil {
		return errnoOf(ctx, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refused
}
