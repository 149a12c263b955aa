package store

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"syscall"

	"github.com/layoutfs/layoutfs/child"
)

// kind is the process that has a database open.
var kind = child.New("layoutfs-index")

// connFD is its end of the socket between the two.
const connFD = 3

// serviceName is what the methods of service are called by.
const serviceName = "Store"

// RunIfChild turns this process into one that has the database open, if Start started it for that, and does not return
// then. Call it before anything else in main.
func RunIfChild() {
	kind.RunIfChild(func() error {
		return serve(os.NewFile(connFD, "parent"), slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	})
}

// serve answers until the parent hangs up. If that did not close the database it is dead, and a successor may be waiting:
// what Badger has not flushed is in its log.
func serve(parent *os.File, log *slog.Logger) error {
	conn, err := net.FileConn(parent)
	if err != nil {
		return fmt.Errorf("serve the index: %w", err)
	}
	_ = parent.Close() // conn has its own
	s := rpc.NewServer()
	if err := s.RegisterName(serviceName, &service{log: log}); err != nil {
		return fmt.Errorf("serve the index: %w", err)
	}
	s.ServeConn(conn)
	return nil
}

// Request is what the process is asked, by the name of the method; each takes what it needs of it.
type Request struct {
	Dir, Version string // Open
	Key          []byte // Get
	Prefix       []byte // Page
	After        []byte // Page
	Values       bool   // Page
	Changes      []Change
}

// Reply is its answer.
type Reply struct {
	Value  []byte // Get
	There  bool   // Get: gob knows no difference between no value and an empty one
	Page   []Entry
	More   bool // Page
	Failed *Failure
}

// Failure is an error that went through the socket.
type Failure struct {
	Text  string
	Errno syscall.Errno // 0: none
	Lost  bool
}

func failure(err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Text: err.Error(), Lost: errors.Is(err, ErrLost)}
	_ = errors.As(err, &f.Errno)
	return f
}

// Error implements error.
func (f *Failure) Error() string { return f.Text }

// Unwrap has errors.Is find what was wrapped.
func (f *Failure) Unwrap() []error {
	var all []error
	if f.Lost {
		all = append(all, ErrLost)
	}
	if f.Errno != 0 {
		all = append(all, f.Errno)
	}
	return all
}

// service answers the requests.
type service struct {
	log *slog.Logger
	db  *Badger
}

// Open is the first request.
func (s *service) Open(q Request, r *Reply) error {
	var err error
	s.db, err = Open(q.Dir, q.Version, s.log)
	r.Failed = failure(err)
	return nil
}

// Get is Badger.Get.
func (s *service) Get(q Request, r *Reply) error {
	value, err := s.db.Get(q.Key)
	r.Value, r.There, r.Failed = value, value != nil, failure(err)
	return nil
}

// Page is Badger.Page.
func (s *service) Page(q Request, r *Reply) error {
	page, more, err := s.db.Page(q.Prefix, q.After, q.Values)
	r.Page, r.More, r.Failed = page, more, failure(err)
	return nil
}

// Write is Badger.Write.
func (s *service) Write(q Request, r *Reply) error {
	r.Failed = failure(s.db.Write(q.Changes...))
	return nil
}

// Close is the last request.
func (s *service) Close(_ Request, r *Reply) error {
	r.Failed = failure(s.db.Close())
	return nil
}
