package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/dustin/go-humanize"
)

const (
	lazyGrace     = 5 * time.Second // for files that are open when the mount is taken away
	farewellGrace = 5 * time.Second // for answers on the control socket and of the web page
)

// Serve answers the control socket until the mount ends: by a signal, which drains first; by a request on
// the socket; or by an unmount from outside. A second signal stops at once. The error is a *RemainsError if
// something that was acknowledged is not in the bucket yet.
func (d *Daemon) Serve(signals <-chan os.Signal) error {
	servers := []*http.Server{d.serveControl()}
	if d.web != nil {
		servers = append(servers, d.serveWeb())
	}
	gone := make(chan struct{})
	go func() { d.mount.Wait(); close(gone) }()
	stop, hurry, done := d.watch(signals)
	defer done()
	d.notify(systemd.SdNotifyReady)

	select {
	case <-gone:
	case <-d.leave:
	case <-stop:
	}
	d.notify(systemd.SdNotifyStopping)
	ctx, cancel := context.WithTimeoutCause(hurry, d.config.DrainTimeout, fmt.Errorf("not done within the --drain-timeout of %s", d.config.DrainTimeout))
	defer cancel()
	if !isClosed(gone) && !isClosed(d.leave) {
		_ = d.drain(ctx) // what remains is told at the end
		d.takeDown(gone)
	}
	d.awaitClosed(hurry, gone)
	reason := d.lastDrain(ctx)
	return errors.Join(d.remains(reason), d.end(servers))
}

// watch turns the first signal into the closing of stop, and the second into the end of hurry.
func (d *Daemon) watch(signals <-chan os.Signal) (stop <-chan struct{}, hurry context.Context, done func()) {
	first := make(chan struct{})
	hurry, cancel := context.WithCancelCause(context.Background())
	go func() {
		select {
		case s := <-signals:
			d.log.Info("stopping", "signal", s.String())
			close(first)
		case <-hurry.Done():
			return
		}
		select {
		case s := <-signals:
			d.log.Warn("stopping at once", "signal", s.String())
			cancel(errors.New("a second signal came"))
		case <-hurry.Done():
		}
	}()
	return first, hurry, func() { cancel(nil) }
}

// takeDown unmounts; a mount that is busy leaves the tree, and its open files go with the process.
func (d *Daemon) takeDown(gone <-chan struct{}) {
	err := d.mount.Unmount()
	if err == nil || isClosed(gone) {
		d.left()
		return
	}
	d.log.Warn("the mount is in use: it leaves the tree, and who still uses it loses it", "err", err)
	if err := d.mount.Detach(); err != nil {
		d.log.Error("take the mount out of the tree", "err", err)
	}
	d.left()
}

// awaitClosed waits for the kernel to let go of the mount, within bounds.
func (d *Daemon) awaitClosed(hurry context.Context, gone <-chan struct{}) {
	select {
	case <-gone:
	case <-hurry.Done():
	case <-time.After(lazyGrace):
		d.log.Warn("files are still open in the mount that is gone; they end now")
	}
}

// lastDrain uploads what was written between a drain and the unmount, or before an unmount from outside.
func (d *Daemon) lastDrain(ctx context.Context) error {
	if d.abandon.Load() {
		return errors.New("it was unmounted by force")
	}
	return d.drain(ctx)
}

// remains is the error for what is not in the bucket, if anything.
func (d *Daemon) remains(reason error) error {
	s := d.engine.Status()
	if s.Staged.Blobs == 0 && s.Pending == 0 {
		return nil
	}
	e := &RemainsError{Mountpoint: d.config.Mountpoint, Staged: s.Staged, Pending: s.Pending}
	if reason != nil {
		e.Reason = reason.Error()
	}
	return e
}

// end ends the servers, and then the parts.
func (d *Daemon) end(servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), farewellGrace)
	defer cancel()
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			_ = s.Close() // the clients see their connections end
		}
	}
	err := d.undo.run()
	d.log.Info("ended", "uptime", time.Since(d.started).Round(time.Second).String())
	return err
}

func (u *undo) run() error {
	var errs []error
	for _, f := range slices.Backward(*u) {
		errs = append(errs, f())
	}
	*u = nil
	return errors.Join(errs...)
}

// notify tells a service manager, if one started us (Type=notify).
func (d *Daemon) notify(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		d.log.Warn("notify systemd", "state", state, "err", err)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func bytesText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
