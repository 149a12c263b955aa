package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is another process, held so that its number cannot come to mean another one.
type process struct {
	pid  int
	file *os.File // a pidfd, readable when the process has ended
}

// peer is the process that listens on the socket.
func (c *Client) peer(ctx context.Context) (*process, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	defer conn.Close()
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil, errors.New("find the daemon's process: not a socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	ctlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(ctlErr, err); err != nil {
		return nil, fmt.Errorf("find the daemon's process: %w", err)
	}
	fd, err := unix.PidfdOpen(int(cred.Pid), unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch the daemon's process %d: %w", cred.Pid, err)
	}
	return &process{pid: int(cred.Pid), file: os.NewFile(uintptr(fd), "pidfd")}, nil
}

func (p *process) close() { _ = p.file.Close() }

// wait returns when the process has ended.
func (p *process) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.file.SetReadDeadline(time.Now()) })
	defer stop()
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var pollErr error
	err = raw.Read(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		var n int
		n, pollErr = unix.Poll(ready, 0)
		return n > 0 || (pollErr != nil && !errors.Is(pollErr, unix.EINTR))
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(err, pollErr)
}
