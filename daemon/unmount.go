package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// exitWithin is how long a daemon may take to end after it has unmounted: the database is closed, the
// embedded server lets requests finish.
const exitWithin = time.Minute

// Unmount has the daemon of a mountpoint drain, for at most timeout if that is not 0, unmount and end,
// and returns when its process is gone: then the cache directory is free. The error is a *RemainsError if
// something remains, and then it stays mounted unless force is set. A mount whose daemon was killed is
// cleaned up.
func Unmount(ctx context.Context, mountpoint string, timeout time.Duration, force bool) error {
	c, err := Find(mountpoint)
	if err != nil {
		return unmountDead(mountpoint, err)
	}
	return c.unmount(ctx, mountpoint, timeout, force)
}

func (c *Client) unmount(ctx context.Context, mountpoint string, timeout time.Duration, force bool) error {
	p, err := c.peer(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	err = c.order(ctx, mountpoint, umountPath, timeout, UnmountRequest{TimeoutSeconds: timeout.Seconds(), Force: force})
	if remains, ok := errors.AsType[*RemainsError](err); err != nil && (!ok || remains.Mounted) {
		return err
	}
	within, cancel := context.WithTimeoutCause(ctx, exitWithin, fmt.Errorf("it still runs after %s", exitWithin))
	defer cancel()
	if e := p.wait(within); e != nil {
		return errors.Join(err, fmt.Errorf("%s is unmounted, but its daemon (pid %d) has not ended: %w", mountpoint, p.pid, e))
	}
	return err
}
