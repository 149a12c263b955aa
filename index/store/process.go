package store

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/layoutfs/layoutfs/child"
)

// A process that does not answer will not, and nothing may wait for it.
const (
	opensIn   = 4 * time.Minute // all tables are read
	answersIn = 30 * time.Second
)

// process is a database that a process of its own has open. Its methods are Badger's. When the process has ended, or does
// not answer, they return ErrLost.
type process struct {
	cmd    *exec.Cmd
	client *rpc.Client
	said   *relay
	gone   chan struct{} // closed when the process has ended
	ended  error         // how; written before gone is closed

	once sync.Once // of kill
}

// Start has a process of its own open the database as Open does. One that dies of that, or of reading what there is, is started
// once more, and begins anew. Its messages go to log.
func Start(dir, version string, log *slog.Logger) (f *Front, err error) {
	if dir, err = filepath.Abs(dir); err != nil { // the process is in another directory
		return nil, fmt.Errorf("open the index %s: %w", dir, err)
	}
	for range 2 {
		if f, err = start(dir, version, log); !errors.Is(err, ErrLost) {
			return f, err
		}
		if err := Distrust(dir); err != nil {
			return nil, fmt.Errorf("open the index %s: %w", dir, err)
		}
	}
	return nil, err
}

func start(dir, version string, log *slog.Logger) (*Front, error) {
	p, err := spawn(log)
	if err != nil {
		return nil, fmt.Errorf("start a process for the index: %w", err)
	}
	if err := p.open(dir, version); err != nil {
		return nil, err
	}
	f, err := newFront(p)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the index %s: %w", dir, err), p.Close())
	}
	return f, nil
}

func spawn(log *slog.Logger) (*process, error) {
	cmd, err := kind.Command()
	if err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	p := &process{cmd: cmd, said: &relay{log: log}, gone: make(chan struct{})}
	p.cmd.Dir = "/" // not to keep a file system busy
	p.cmd.Stderr = child.NewLines(p.said.say)
	p.cmd.ExtraFiles = []*os.File{theirs}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	p.client = rpc.NewClient(ours)
	go func() {
		p.ended = p.cmd.Wait()
		close(p.gone)
	}()
	return p, nil
}

func socketPair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	mine := os.NewFile(uintptr(fds[0]), "index")
	defer mine.Close() // the connection has its own
	theirs = os.NewFile(uintptr(fds[1]), "index")
	if ours, err = net.FileConn(mine); err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// ask sends a request and returns the answer.
func (p *process) ask(method string, q Request) (Reply, error) {
	return p.askWithin(answersIn, method, q)
}

func (p *process) askWithin(within time.Duration, method string, q Request) (Reply, error) {
	var r Reply
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	call := p.client.Go(serviceName+"."+method, q, &r, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
	case <-timeout.C:
		p.kill()
		return Reply{}, fmt.Errorf("%w: its process did not answer within %s", ErrLost, within)
	}
	if call.Error != nil {
		return Reply{}, fmt.Errorf("%w: %w", ErrLost, p.why(call.Error))
	}
	if r.Failed == nil {
		return r, nil
	}
	if r.Failed.Lost {
		p.kill() // what it has open is not worth to be closed
	}
	return r, r.Failed
}

// why is how the process ended, with what it said last.
func (p *process) why(err error) error {
	p.kill()
	if how := p.ended; how != nil {
		err = how
	}
	if last := p.said.last(); last != "" {
		return fmt.Errorf("its process ended (%w): %s", err, last)
	}
	return fmt.Errorf("its process ended (%w)", err)
}

func (p *process) open(dir, version string) error {
	_, err := p.askWithin(opensIn, "Open", Request{Dir: dir, Version: version})
	if err != nil {
		p.kill()
	}
	return err
}

// kill ends the process if it does not end by itself, now that nobody asks it any more.
func (p *process) kill() {
	p.once.Do(func() {
		_ = p.client.Close()
		select {
		case <-p.gone:
		case <-time.After(time.Second):
			_ = p.cmd.Process.Kill()
		}
	})
	<-p.gone
}

// Get returns a value, nil if there is none.
func (p *process) Get(key []byte) ([]byte, error) {
	r, err := p.ask("Get", Request{Key: key})
	if r.There && r.Value == nil {
		r.Value = []byte{}
	}
	return r.Value, err
}

// Page returns entries under a prefix whose keys come after a key, or the first ones, and whether there may be more.
// Without values it is keys alone.
func (p *process) Page(prefix, after []byte, values bool) (page []Entry, more bool, err error) {
	r, err := p.ask("Page", Request{Prefix: prefix, After: after, Values: values})
	return r.Page, r.More, err
}

// Write makes changes one after the other.
func (p *process) Write(changes ...Change) error {
	_, err := p.ask("Write", Request{Changes: changes})
	return err
}

// Close has the database flushed and closed, and the process end.
func (p *process) Close() error {
	_, err := p.ask("Close", Request{})
	p.kill()
	return err
}
