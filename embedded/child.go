package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/gofrs/flock"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/debuglogger"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"

	"github.com/layoutfs/layoutfs/child"
)

// process is what serves.
var process = child.New("layoutfs-s3")

const (
	region      = "us-east-1"
	lockWait    = 5 * time.Second  // for a server whose parent was killed a moment ago
	exitAfter   = 15 * time.Second // longest farewell; versitygw waits 10 s for requests
	maxConns    = 16384
	maxRequests = 8192
	maxParts    = 10_000  // as S3 has it
	maxCopy     = 5 << 30 // bytes, as S3 has it
)

// order is what the parent writes to the child's standard input, one line. The pipe stays open: when it
// closes the server ends.
type order struct {
	Dir, Addr, Bucket string
	Keys              keys
	Debug, Temporary  bool
}

// report is what the child writes to descriptor 3, once, when it listens or cannot.
type report struct {
	Addr  string `json:",omitempty"`
	Error string `json:",omitempty"`
}

// RunIfChild turns this process into the server if Start started it for that, and does not return then.
// Call it before anything else in main.
func RunIfChild() {
	process.RunIfChild(func() error { return runChild(os.Stdin, os.NewFile(3, "report")) })
}

func runChild(stdin io.Reader, to io.WriteCloser) error {
	orders := json.NewDecoder(stdin)
	var o order
	if err := orders.Decode(&o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // ends when the parent closes the pipe, or dies
		cancel()
		time.AfterFunc(exitAfter, func() { os.Exit(3) })
		dropUnused()
	}()
	say := func(r report) {
		_ = json.NewEncoder(to).Encode(r)
		_ = to.Close()
	}
	err := serve(ctx, o, func(addr string) { say(report{Addr: addr}) })
	if err != nil {
		say(report{Error: err.Error()})
	}
	return err
}

// serve runs versitygw until ctx is done; ready is called with the address when it listens.
func serve(ctx context.Context, o order, ready func(addr string)) error {
	dir := folder(o.Dir)
	unlock, err := lock(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	if o.Temporary {
		defer os.RemoveAll(o.Dir)
	}
	if err := dir.prepare(o.Bucket); err != nil {
		return err
	}
	be, err := store(dir)
	if err != nil {
		return err
	}
	addr, release, err := reserve(o.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w (port 0 takes a free one)", o.Addr, err)
	}
	defer release()
	return embedgw.RunVersityGW(ctx, be, gateway(o, addr, func() { ready(addr) }))
}

func lock(ctx context.Context, dir folder) (unlock func(), err error) {
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	l := flock.New(dir.lock())
	if ok, err := l.TryLockContext(ctx, 20*time.Millisecond); !ok {
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("another layoutfs serves this folder: end that one, or choose another folder")
		}
		return nil, err
	}
	return func() { _ = l.Close() }, nil
}

func store(dir folder) (backend.Backend, error) {
	var metadata meta.MetadataStorer = meta.XattrMeta{}
	beside, err := dir.needsMeta()
	if err != nil {
		return nil, err
	}
	if beside {
		if metadata, err = meta.NewSideCar(dir.meta()); err != nil {
			return nil, err
		}
	}
	// SideCarDir of the options is left empty: it is only checked, and printed.
	files, err := posix.New(dir.buckets(), metadata, posix.PosixOpts{ForceNoObjLockFile: true, CopyObjectThreshold: maxCopy})
	if err != nil {
		return nil, err
	}
	return leaves{files}, nil
}

func gateway(o order, addr string, listening func()) *embedgw.Config {
	root := auth.Account{Access: o.Keys.AccessKeyID, Secret: o.Keys.SecretAccessKey, Role: auth.RoleAdmin}
	level := debuglogger.LevelSilent
	if o.Debug {
		level = debuglogger.LevelDebug
	}
	return &embedgw.Config{
		RootUserAccess:    root.Access,
		RootUserSecret:    root.Secret,
		IAMService:        oneAccount{auth.NewIAMServiceSingle(root), root},
		Region:            region,
		Ports:             []string{addr},
		MaxConnections:    maxConns,
		MaxRequests:       maxRequests,
		MultipartMaxParts: maxParts,
		KeepAlive:         true,
		DisableACLs:       true,
		Quiet:             !o.Debug,
		LogLevel:          level,
		S3Options:         []s3api.Option{s3api.WithOnListen(listening)},
	}
}

// oneAccount answers a request with a foreign key as S3 does (InvalidAccessKeyId). versitygw's own service
// for a single account answers 404, which a HEAD cannot tell from an object that is not there.
type oneAccount struct {
	auth.IAMService
	root auth.Account
}

// GetUserAccount implements auth.IAMService.
func (o oneAccount) GetUserAccount(access string) (auth.Account, error) {
	if access != o.root.Access {
		return auth.Account{}, auth.ErrNoSuchUser
	}
	return o.root, nil
}

// dialable is addr as a client on this machine reaches it.
func dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
