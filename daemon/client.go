package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Client asks a running mount over its control socket.
type Client struct {
	mountpoint string // for errors
	dial       dialer
	http       *http.Client
}

// dialer connects to a control socket.
type dialer func(ctx context.Context) (net.Conn, error)

func dialSocket(path string) dialer {
	return func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "unix", path) }
}

// ErrNotMounted says that no mount of ours answers.
var ErrNotMounted = errors.New("not mounted by layoutfs")

const (
	answerWithin = 10 * time.Second // for what needs no waiting
	slack        = 30 * time.Second // for an answer, on top of the time that its request was given
)

// Find is the client of a mountpoint (as Resolve gives it). The error wraps ErrNotMounted if nobody answers.
func Find(mountpoint string) (*Client, error) {
	for _, dir := range runtimeDirs() {
		if c := newClient(mountpoint, dialSocket(socketPath(dir, mountpoint))); c.alive() {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%s is %w, or not by this user: `layoutfs status` lists what is", mountpoint, ErrNotMounted)
}

// FindAll are the clients of all mounts of this user.
func FindAll() ([]*Client, error) {
	var found []*Client
	for _, dir := range runtimeDirs() {
		sockets, err := filepath.Glob(filepath.Join(dir, "*.sock"))
		if err != nil {
			return nil, fmt.Errorf("look for mounts in %s: %w", dir, err)
		}
		for _, socket := range sockets {
			of := readOwner(strings.TrimSuffix(socket, ".sock") + ".json").Mountpoint
			if c := newClient(of, dialSocket(socket)); c.alive() {
				found = append(found, c)
			}
		}
	}
	return found, nil
}

func newClient(mountpoint string, dial dialer) *Client {
	t := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}
	return &Client{mountpoint: mountpoint, dial: dial, http: &http.Client{Transport: t}}
}

// alive says whether somebody listens.
func (c *Client) alive() bool {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return false
	}
	_ = conn.Close() // it was only a question
	return true
}

// Status asks for the mount's status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var s Status
	if code, err := c.ask(ctx, http.MethodGet, statusPath, nil, &s); err != nil {
		return Status{}, err
	} else if code != http.StatusOK {
		return Status{}, fmt.Errorf("ask the daemon of %s: it answers with HTTP status %d", c.mountpoint, code)
	}
	return s, nil
}

// Flush waits until nothing is staged, for at most that long if timeout is not 0. The error is a
// *RemainsError if something remains.
func (c *Client) Flush(ctx context.Context, mountpoint string, timeout time.Duration) error {
	return c.order(ctx, mountpoint, flushPath, timeout, FlushRequest{TimeoutSeconds: timeout.Seconds()})
}

// order sends a request that may take as long as timeout, and turns its outcome into an error.
func (c *Client) order(ctx context.Context, mountpoint, path string, timeout time.Duration, in any) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout+slack)
		defer cancel()
	}
	var out Outcome
	if _, err := c.ask(ctx, http.MethodPost, path, in, &out); err != nil {
		return err
	}
	switch {
	case out.Error == "":
		return nil
	case out.Staged.Blobs > 0 || out.Pending > 0:
		return &RemainsError{Mountpoint: mountpoint, Staged: out.Staged, Pending: out.Pending, Mounted: out.Mounted, Reason: out.Error}
	}
	return fmt.Errorf("%s: %s", mountpoint, out.Error)
}

// ask sends a request and decodes the answer into out.
func (c *Client) ask(ctx context.Context, method, path string, in, out any) (code int, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://layoutfs"+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	res, err := c.http.Do(r)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, iofs.ErrNotExist) {
		return 0, fmt.Errorf("the daemon of %s has ended: %w", c.mountpoint, ErrNotMounted)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the address is none
	}
	if err != nil {
		return 0, fmt.Errorf("ask the daemon of %s: %w", c.mountpoint, err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(out); err != nil {
		return 0, fmt.Errorf("ask the daemon of %s: its answer (HTTP status %d) cannot be read: %w", c.mountpoint, res.StatusCode, err)
	}
	return res.StatusCode, nil
}
