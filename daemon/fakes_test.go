package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	layoutsync "github.com/layoutfs/layoutfs/sync"
)

// fakeEngine is an engine whose uploads end when the test says so.
type fakeEngine struct {
	mu       sync.Mutex // guards following
	staged   layoutsync.Count
	pending  int
	fail     error         // what Flush answers while something is staged; nil: it waits
	uploaded chan struct{} // closed when all is in the bucket
	flushes  int
}

func newFakeEngine(blobs int) *fakeEngine {
	return &fakeEngine{
		staged:   layoutsync.Count{Blobs: blobs, Bytes: int64(blobs) << 20},
		uploaded: make(chan struct{}),
	}
}

func (e *fakeEngine) upload() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.staged = layoutsync.Count{}
	close(e.uploaded)
}

func (e *fakeEngine) failWith(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail = err
}

func (e *fakeEngine) Flush(ctx context.Context) error {
	e.mu.Lock()
	e.flushes++
	staged, fail, uploaded := e.staged.Blobs, e.fail, e.uploaded
	e.mu.Unlock()
	switch {
	case staged == 0:
		return nil
	case fail != nil:
		return fail
	}
	select {
	case <-uploaded:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for an upload: %w", context.Cause(ctx))
	}
}

func (e *fakeEngine) Status() layoutsync.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return layoutsync.Status{Staged: e.staged, Pending: e.pending, BucketUp: true}
}

// fakeMount is a mount that may be in use.
type fakeMount struct {
	mu       sync.Mutex // guards following
	busy     bool
	detached bool
	lingers  time.Duration // from the end of the mount until Unmount returns
	gone     chan struct{} // closed when the kernel has let go
}

func newFakeMount() *fakeMount { return &fakeMount{gone: make(chan struct{})} }

func (m *fakeMount) Unmount() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy {
		return syscall.EBUSY
	}
	close(m.gone)
	time.Sleep(m.lingers)
	return nil
}

func (m *fakeMount) Detach() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.detached = true
	return nil
}

func (m *fakeMount) isDetached() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.detached
}

func (m *fakeMount) Wait()                       { <-m.gone }
func (m *fakeMount) Passthrough() (bool, string) { return false, "it is a fake" }

// pipes is a listener whose connections are in memory, so that synctest's clock runs.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// rig is a daemon of fakes that serves.
type rig struct {
	*Daemon
	engine  *fakeEngine
	mount   *fakeMount
	signals chan os.Signal
	client  *Client
	ended   chan error // what Serve returned
	closed  int        // parts that were ended
}

const testMountpoint = "/mnt/cache"

func serve(t *testing.T, e *fakeEngine, set func(*rig)) *rig {
	t.Helper()
	listener := newPipes()
	r := &rig{
		engine: e, mount: newFakeMount(), signals: make(chan os.Signal, 2), ended: make(chan error, 1),
		client: newClient(testMountpoint, listener.dial),
	}
	r.Daemon = &Daemon{
		config: Config{Mountpoint: testMountpoint, DrainTimeout: time.Minute, Version: "test"},
		log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
		engine: e, mount: r.mount, listener: listener,
		started: time.Now(), leave: make(chan struct{}),
	}
	r.undo.add(func() error { r.closed++; return nil })
	if set != nil {
		set(r)
	}
	go func() { r.ended <- r.Serve(r.signals) }()
	return r
}

var discard = slog.New(slog.DiscardHandler)
