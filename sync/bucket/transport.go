package bucket

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

const (
	idleConns      = 256              // connections kept for reuse: as many as ranges are read at once
	connBuffer     = 64 << 10         // bytes, twice per connection
	idleTimeout    = 60 * time.Second // below the minute or more after which servers hang up
	continueWait   = time.Second      // for "100 Continue" before a large body is sent unasked
	keepAliveEvery = 15 * time.Second
)

// httpClient makes connections for many parallel ranged requests: HTTP/1.1, because one TCP stream for all
// of them is what HTTP/2 would give, and without transparent compression, which breaks ranges. It stays the
// SDK's own kind of client, so that $AWS_CA_BUNDLE keeps working.
func httpClient(o Options) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) {
			d.Timeout = cmp.Or(o.DialTimeout, 5*time.Second)
			d.KeepAlive = keepAliveEvery
		}).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = cmp.Or(o.TLSTimeout, 10*time.Second)
			t.ExpectContinueTimeout = continueWait
			t.IdleConnTimeout = idleTimeout
			t.MaxIdleConns, t.MaxIdleConnsPerHost = idleConns, idleConns
			t.ReadBufferSize, t.WriteBufferSize = connBuffer, connBuffer
			t.DisableCompression = true
			t.ForceAttemptHTTP2 = false
			t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		})
}

// guarded is rt under the deadlines of o, as the SDK wants it.
func guarded(rt http.RoundTripper, o Options) *http.Client {
	return &http.Client{
		Transport: &watchdog{
			next:   rt,
			header: cmp.Or(o.HeaderTimeout, 20*time.Second),
			stall:  cmp.Or(o.StallTimeout, 20*time.Second),
		},
		CheckRedirect: checkRedirect,
	}
}

// checkRedirect follows what keeps method and body (307, 308), as the SDK's own client does. A 301 of S3
// is an error that names the right region, and following it would hide that.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > 5 {
		return errors.New("too many redirects")
	}
	if r.Response == nil {
		return nil
	}
	switch r.Response.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return nil
	}
	return http.ErrUseLastResponse
}
