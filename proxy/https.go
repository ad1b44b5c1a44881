package proxy

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// misdirected reports whether a request came over a connection that was not made
// for its host. A trusted proxy in front uses one connection for all of them.
func (p *Proxy) misdirected(r *http.Request) bool {
	return r.TLS != nil && p.covers != nil && !p.covers(r.TLS, r.Host) && !p.isTrusted(peerOf(r))
}

// isChallenge reports whether a request may be how an authority asks for the proof
// that a host is ours (RFC 8555, section 8.3), which it does over HTTP.
func isChallenge(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/")
}

// overHTTPS is the URL of a target over HTTPS, at a port of the same host.
func overHTTPS(host string, port int, target string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		if host = name; strings.Contains(name, ":") {
			host = "[" + name + "]"
		}
	}
	if port != 443 {
		host += ":" + strconv.Itoa(port)
	}
	return "https://" + host + target
}

// redirect sends a client elsewhere for good, method and content as they are.
func (o *outcome) redirect(to string) {
	o.w.Header()["Location"] = []string{to}
	o.w.Header()["Content-Length"] = []string{"0"}
	o.writeHeader(http.StatusPermanentRedirect)
}
