// Package link is a slow network between a client and a server on one machine: a TCP proxy that delays what
// passes and limits how much of it does. netem would be the kernel's own, but not every kernel has it.
//
// All connections share the bandwidth of each direction. A byte arrives one way's delay after it left, a new
// connection costs a round trip before its first byte leaves, and a connection has at most Window bytes on
// their way. Not modelled: loss, jitter, the slow start of TCP, packet headers, the cost of TLS.
package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Shape is what a link does to what passes.
type Shape struct {
	RTT       time.Duration // of an empty packet
	Bandwidth int64         // bytes per second in each direction; 0 is no limit
}

const (
	// Window is what a connection may have on its way: more than 20 ms of 1 Gbit/s hold.
	Window = 4 << 20
	// piece is what is sent in one go. It bounds how unfairly connections share the link.
	piece = 64 << 10
	// burst is what may pass at once after a pause. Timers are late by up to 1 ms, which it makes up for.
	burst = 4 * piece
	// packets bounds how many small ones are on their way in a connection.
	packets = 4096
)

// Link is a running proxy.
type Link struct {
	shape    Shape
	server   string
	listener net.Listener
	up, down *rate.Limiter
	sent     atomic.Int64
	received atomic.Int64
}

// New listens on a free port of loopback for a server at an address such as 127.0.0.1:9000.
func New(shape Shape, server string) (*Link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return newLink(shape, server, l), nil
}

func newLink(shape Shape, server string, l net.Listener) *Link {
	limit := rate.Limit(shape.Bandwidth)
	if shape.Bandwidth == 0 {
		limit = rate.Inf
	}
	return &Link{
		shape: shape, server: server, listener: l,
		up: rate.NewLimiter(limit, burst), down: rate.NewLimiter(limit, burst),
	}
}

// Addr is where clients connect to.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Sent counts the bytes that went to the server, Received those that came from it.
func (l *Link) Sent() int64     { return l.sent.Load() }
func (l *Link) Received() int64 { return l.received.Load() }

// Serve carries connections until the context ends.
func (l *Link) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { l.listener.Close() })()
	var all errgroup.Group
	for {
		client, err := l.listener.Accept()
		if err != nil {
			_ = all.Wait() // connections end for reasons of their peers
			return ctx.Err()
		}
		all.Go(func() error { return l.connect(ctx, client) })
	}
}

func (l *Link) connect(ctx context.Context, client net.Conn) error {
	server, err := new(net.Dialer).DialContext(ctx, "tcp", l.server)
	if err != nil {
		return errors.Join(err, client.Close())
	}
	return l.join(ctx, client, server)
}

// join carries one connection until both sides are done.
func (l *Link) join(ctx context.Context, client, server net.Conn) error {
	defer context.AfterFunc(ctx, func() { client.Close(); server.Close() })()
	// The handshake on loopback takes no time: what comes first waits for what it would have taken.
	open := time.Now().Add(l.shape.RTT)
	var both errgroup.Group
	both.Go(func() error { return l.carry(ctx, server, client, l.up, &l.sent, open) })
	both.Go(func() error { return l.carry(ctx, client, server, l.down, &l.received, open) })
	return errors.Join(both.Wait(), client.Close(), server.Close())
}

// packet is what is on its way.
type packet struct {
	data []byte
	due  time.Time
}

// carry moves one direction of a connection.
func (l *Link) carry(ctx context.Context, to, from net.Conn, line *rate.Limiter, count *atomic.Int64, open time.Time) error {
	both, ctx := errgroup.WithContext(ctx) // a side that fails ends the other
	defer context.AfterFunc(ctx, func() { from.Close() })()
	way, window := make(chan packet, packets), semaphore.NewWeighted(Window)
	both.Go(func() error {
		defer close(way)
		if err := sleepUntil(ctx, open); err != nil {
			return err
		}
		for buf := make([]byte, piece); ; {
			n, err := from.Read(buf)
			if err != nil {
				return ended(err)
			}
			if err := errors.Join(window.Acquire(ctx, int64(n)), line.WaitN(ctx, n)); err != nil {
				return err
			}
			count.Add(int64(n))
			select {
			case way <- packet{bytes.Clone(buf[:n]), time.Now().Add(l.shape.RTT / 2)}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	both.Go(func() error { return errors.Join(deliver(ctx, to, way, window), closeWrite(to)) })
	return both.Wait()
}

func deliver(ctx context.Context, to io.Writer, way <-chan packet, window *semaphore.Weighted) error {
	for p := range way {
		if err := sleepUntil(ctx, p.due); err != nil {
			return err
		}
		if _, err := to.Write(p.data); err != nil {
			return err
		}
		window.Release(int64(len(p.data)))
	}
	return nil
}

func sleepUntil(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeWrite tells a peer that nothing more comes, and lets it answer.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// ended is nil for an end that is none of an error.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
