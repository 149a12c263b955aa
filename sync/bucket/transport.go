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

	// credentialsWithin is for a request to a service for credentials. What is asked of the bucket has the
	// deadlines of the watchdog in its place.
	credentialsWithin = 20 * time.Second
)

// httpClient makes connections for many parallel ranged requests: HTTP/1.1, because one TCP stream for all
// of them is what HTTP/2 would give, and without transparent compression, which breaks ranges. It stays the
// SDK's own kind of client, so that $AWS_CA_BUNDLE keeps working.
func httpClient(o Options) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithTimeout(cmp.Or(o.HeaderTimeout, credentialsWithin)).
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

// guarded is rt under the deadlines of o, and outside of them under limits: a request that waits for its
// turn does not stall.
func guarded(rt http.RoundTripper, o Options, l Limits) http.RoundTripper {
	return l.throttle(&watchdog{
		next:   rt,
		header: cmp.Or(o.HeaderTimeout, 20*time.Second),
		stall:  cmp.Or(o.StallTimeout, 20*time.Second),
	})
}

// checkRedirect follows what keeps method and body (307, 308), as the SDK's own client does, but on the
// same host only: the signature holds for no other, and is not sent there, so that the answer would be that
// the caller may not. Any other redirect is an error that names the right region or address.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > 5 {
		return errors.New("too many redirects")
	}
	if r.Response == nil {
		return nil
	}
	switch r.Response.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		if r.URL.Host == via[0].URL.Host {
			return nil
		}
	}
	return http.ErrUseLastResponse
}
