package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// serveControl answers the control socket.
func (d *Daemon) serveControl() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statusPath, func(w http.ResponseWriter, r *http.Request) { d.answer(w, http.StatusOK, d.Status()) })
	handle(d, mux, "POST "+flushPath, d.flush)
	handle(d, mux, "POST "+umountPath, d.unmount)
	d.serveInspect(mux)
	s := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    maxMessage,
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
	}
	d.answerOn(d.listener, s, "control socket")
	return s
}

// answerOn has a server answer until it is shut down.
func (d *Daemon) answerOn(l net.Listener, s *http.Server, what string) {
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("the "+what+" does not answer any more", "err", err)
		}
	}()
}

// handle serves requests of one type. What fails is told as the outcome's error.
func handle[T any](d *Daemon, mux *http.ServeMux, pattern string, do func(context.Context, T) (mounted bool, err error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in T
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxMessage)).Decode(&in); err != nil && !errors.Is(err, io.EOF) {
			d.answer(w, http.StatusBadRequest, Outcome{Error: fmt.Sprintf("the request is no JSON as expected: %v", err), Mounted: true})
			return
		}
		mounted, err := do(r.Context(), in)
		now := d.engine.Status()
		out, code := Outcome{Staged: now.Staged, Pending: now.Pending, Mounted: mounted}, http.StatusOK
		if err != nil {
			out.Error, code = err.Error(), http.StatusConflict
		}
		d.answer(w, code, out)
	})
}

func (d *Daemon) answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		d.log.Debug("answer on the control socket", "err", err)
	}
}

// flush waits until nothing is staged.
func (d *Daemon) flush(ctx context.Context, in FlushRequest) (mounted bool, err error) {
	ctx, cancel := within(ctx, in.TimeoutSeconds)
	defer cancel()
	return true, d.drain(ctx)
}

// unmount drains and unmounts. Unless forced, it stays mounted when something remains or is in use.
func (d *Daemon) unmount(ctx context.Context, in UnmountRequest) (mounted bool, err error) {
	limited, cancel := within(ctx, in.TimeoutSeconds)
	defer cancel()
	left := d.drain(limited)
	switch {
	case ctx.Err() != nil: // who asked has gone, and may have changed their mind
		return true, ctx.Err()
	case left != nil && !in.Force:
		return true, left
	}
	d.abandon.Store(left != nil) // ahead of the unmount, which ends Serve's wait
	if err := d.unmountNow(in.Force); err != nil {
		d.abandon.Store(false)
		return true, err
	}
	d.left()
	return false, left
}

func (d *Daemon) unmountNow(force bool) error {
	err := d.mount.Unmount()
	switch {
	case err == nil || isClosed(d.leave):
		return nil
	case force:
		d.log.Warn("unmounted by force while in use", "err", err)
		return d.mount.Detach()
	}
	d.log.Info("not unmounted", "err", err)
	return errBusy
}
