package daemon

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard lets nobody read pages by way of somebody else's browser. The site that a browser shows can have it ask for
// our address; it is not to learn what we answer.
type guard struct {
	next  http.Handler
	names []string // host names that are ours, besides localhost; addresses always are
}

func (g guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	switch {
	case !g.isOurs(r.Host):
		http.Error(w, fmt.Sprintf("%q is no name of this page: use its address, or mount with --web NAME:PORT to call it by another name", r.Host),
			http.StatusMisdirectedRequest)
	case isCrossSite(r.Header):
		http.Error(w, "another site asks for this: open it by itself", http.StatusForbidden)
	default:
		g.next.ServeHTTP(w, r)
	}
}

// protect tells browsers what may be done with an answer: shown, by itself, and without scripts.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// isOurs says whether a request is for us by its Host. With DNS rebinding it has the name of the site that asks, which
// that site has made to stand for our address; an address has no name to be rebound.
func (g guard) isOurs(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || host != "" && slices.ContainsFunc(g.names, func(name string) bool { return strings.EqualFold(name, host) })
}

// isCrossSite says whether a browser asks on behalf of another site. That a link was followed is no such thing: then
// the browser shows the page, and the site with the link does not see it. (https://www.w3.org/TR/fetch-metadata/)
func isCrossSite(h http.Header) bool {
	switch h.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return h.Get("Sec-Fetch-Mode") != "navigate" || h.Get("Sec-Fetch-Dest") != "document"
}
