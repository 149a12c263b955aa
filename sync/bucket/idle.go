package bucket

import "net/http"

// CloseIdle closes the connections that carry no request, also those that never did: some servers wait for
// these when they are to end.
func (c *Client) CloseIdle() {
	if h, ok := c.s3.Options().HTTPClient.(idleCloser); ok {
		h.CloseIdleConnections()
	}
}

// idleCloser is what http.Client passes CloseIdle on to, and each RoundTripper to the next.
type idleCloser interface{ CloseIdleConnections() }

func closeIdle(next http.RoundTripper) {
	if c, ok := next.(idleCloser); ok {
		c.CloseIdleConnections()
	}
}

// CloseIdleConnections is passed on.
func (w *watchdog) CloseIdleConnections() { closeIdle(w.next) }

// CloseIdleConnections is passed on.
func (t *throttle) CloseIdleConnections() { closeIdle(t.next) }
