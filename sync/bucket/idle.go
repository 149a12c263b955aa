package bucket

// CloseIdle closes the connections that carry no request, also those that never did: some servers wait for
// these when they are to end.
func (c *Client) CloseIdle() {
	if h, ok := c.s3.Options().HTTPClient.(idleCloser); ok {
		h.CloseIdleConnections()
	}
}

// idleCloser is what http.Client passes CloseIdle on to.
type idleCloser interface{ CloseIdleConnections() }

// CloseIdleConnections is passed on.
func (w *watchdog) CloseIdleConnections() {
	if next, ok := w.next.(idleCloser); ok {
		next.CloseIdleConnections()
	}
}
