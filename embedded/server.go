package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/layoutfs/layoutfs/child"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// startWithin is how long a server may take until it listens.
const startWithin = 30 * time.Second

// Server is a running server.
type Server struct {
	dir    string
	config bucket.Config
	cmd    *exec.Cmd
	stdin  io.Closer // closing it asks the child to end
	out    *said

	once sync.Once     // of Close
	done chan struct{} // closed when the child is gone
	err  error         // why; written before done is closed
}

// Start serves o.Dir and returns when it answers. ctx bounds the start alone: Close ends the server, as
// does the end of this process.
func Start(ctx context.Context, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("start the embedded S3 server: %w", err)
	}
	s, err := start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start the embedded S3 server on %s: %w", o.Dir, err)
	}
	return s, nil
}

func start(ctx context.Context, o Options) (*Server, error) {
	if err := folder(o.Dir).prepare(o.Bucket); err != nil {
		return nil, err
	}
	k := keys{o.AccessKeyID, o.SecretAccessKey}
	if k.AccessKeyID == "" {
		var err error
		if k, err = folder(o.Dir).keys(); err != nil {
			return nil, err
		}
	}
	s := &Server{dir: o.Dir, out: &said{log: o.Log}, done: make(chan struct{})}
	debug := o.Log.Enabled(ctx, slog.LevelDebug)
	addr, err := s.spawn(ctx, order{
		Dir: o.Dir, Addr: o.Addr, Bucket: o.Bucket, Keys: k, Debug: debug, Temporary: o.Temporary,
	})
	if err != nil {
		return nil, err
	}
	s.config = configFor(addr, o.Bucket, k)
	return s, nil
}

func configFor(addr, name string, k keys) bucket.Config {
	c := bucket.Default()
	c.Bucket, c.Region = name, region
	c.EndpointURL, c.UsePathStyle = "http://"+dialable(addr), true
	c.AccessKeyID, c.SecretAccessKey = k.AccessKeyID, k.SecretAccessKey
	return c
}

// spawn starts the child, gives it its order and waits until it listens.
func (s *Server) spawn(ctx context.Context, o order) (addr string, err error) {
	if s.cmd, err = process.Command(withoutSecrets(os.Environ())...); err != nil {
		return "", err
	}
	out := child.NewLines(s.out.say)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	from, to, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer from.Close()
	s.cmd.ExtraFiles = []*os.File{to}
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return "", errors.Join(err, to.Close())
	}
	s.stdin = stdin
	err = s.cmd.Start()
	_ = to.Close() // the child has its own
	if err != nil {
		return "", err
	}
	go s.reap()
	if err := json.NewEncoder(stdin).Encode(o); err != nil {
		return "", errors.Join(err, s.Close())
	}
	r, err := s.await(ctx, from)
	if err != nil {
		_ = s.Close()
		return "", err
	}
	return r.Addr, nil
}

// withoutSecrets is an environment without the variables of the AWS SDK and of layoutfs: the child asks
// nobody, and needs none of the secrets among them.
func withoutSecrets(environ []string) []string {
	return slices.DeleteFunc(environ, func(variable string) bool {
		return strings.HasPrefix(variable, "AWS_") || strings.HasPrefix(variable, "LAYOUTFS_")
	})
}

// await reads the child's report. A child that dies without one closes the pipe.
func (s *Server) await(ctx context.Context, from *os.File) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = from.SetReadDeadline(time.Now()) })
	defer stop()
	var r report
	if err := json.NewDecoder(from).Decode(&r); err != nil {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		<-s.done
		return r, errors.Join(s.err, err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// reap waits for the child's end.
func (s *Server) reap() {
	if err := s.cmd.Wait(); err != nil {
		s.err = fmt.Errorf("the embedded S3 server ended (%w): %s", err, s.out.last())
	}
	close(s.done)
}

// Config is how to reach the server: its address, its keys, and its bucket.
func (s *Server) Config() bucket.Config { return s.config }

// Dir is the folder that is served, as an absolute path.
func (s *Server) Dir() string { return s.dir }

// Done is closed when the server has ended, by Close or by itself.
func (s *Server) Done() <-chan struct{} { return s.done }

// Wait returns when the server has ended, nil after a Close that went well.
func (s *Server) Wait() error {
	<-s.done
	return s.err
}

// Close lets running requests finish and ends the server. It takes at most some 20 seconds.
func (s *Server) Close() error {
	s.once.Do(func() { _ = s.stdin.Close() })
	select {
	case <-s.done:
	case <-time.After(exitAfter + 5*time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	return s.err
}

// said turns what the child prints into log records, and keeps the last line.
type said struct {
	log *slog.Logger

	mu   sync.Mutex // guards following
	line string
}

func (s *said) say(line []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = string(line)
	s.log.Debug("embedded S3 server", "says", s.line)
}

func (s *said) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line
}
