package purge

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"surrogate/store"
)

// splitTarget takes apart what a purge method is for: the target exactly as it
// was sent, at the host of an absolute-form target or of the Host field (RFC
// 9112, section 3.2). Nothing is cleaned.
func splitTarget(r *http.Request) (host, target string, err error) {
	raw := r.RequestURI
	if strings.HasPrefix(raw, "/") {
		if r.Host == "" {
			return "", "", malformed("the request has no Host")
		}
		return r.Host, raw, nil
	}
	if !strings.Contains(raw, "://") {
		return "", "", malformed("the target is no URL: " + raw)
	}
	_, host, target, err = store.SplitURL(raw, "")
	if err != nil {
		return "", "", malformed(err.Error())
	}
	return host, target, nil
}

// urlRequest reads a purge of a URL: exact, or of all that begin with it when
// its path ends in ".*".
func (p *Purger) urlRequest(r *http.Request) (Request, string, error) {
	method := r.Header.Get("X-Purge-Method")
	host, target, err := splitTarget(r)
	if err != nil {
		return Request{}, "", err
	}
	prefix, starred := strings.CutSuffix(target, ".*")
	switch strings.ToLower(method) {
	case "regex":
		if !starred {
			return Request{}, "", malformed(`of patterns only a path followed by ".*" is supported: ` + target)
		}
	case "", "default":
		if !starred {
			return p.exactRequest(r)
		}
	case "exact":
		return p.exactRequest(r)
	default:
		return Request{}, "", malformed("X-Purge-Method is none of regex, exact, default: " + method)
	}
	if strings.ContainsAny(prefix, `*+?()[]{}|^$\`) {
		return Request{}, "", malformed(`of patterns only a path followed by ".*" is supported: ` + target)
	}
	if prefix == "/" && p.isOwn(host) {
		return Request{Everything: true}, "", nil
	}
	hosts, note := p.hostsFor(host)
	var req Request
	if prefix == "/" {
		return Request{Hosts: hosts}, note, nil
	}
	for _, h := range hosts {
		req.Prefixes = append(req.Prefixes, h+prefix)
	}
	return req, note, nil
}

// exactRequest reads a purge of one URL.
func (p *Purger) exactRequest(r *http.Request) (Request, string, error) {
	host, target, err := splitTarget(r)
	if err != nil {
		return Request{}, "", err
	}
	hosts, note := p.hostsFor(host)
	var req Request
	for _, h := range hosts {
		req.URLs = append(req.URLs, h+target)
	}
	return req, note, nil
}

// hostsFor returns the hosts that a purge addressed to host means. Addressed to
// the proxy itself, by address or a name of its own, it means every site: many
// clients know the cache only by where it is.
func (p *Purger) hostsFor(host string) (hosts []string, note string) {
	hosts = []string{host}
	if !p.isOwn(host) {
		return hosts, ""
	}
	_, port, err := net.SplitHostPort(host)
	open := p.o.Hosts == nil
	for _, site := range p.sites() {
		if strings.Contains(site, "*") {
			open = true
			continue
		}
		hosts = append(hosts, site)
		if _, _, serr := net.SplitHostPort(site); serr != nil && err == nil && port != "" {
			hosts = append(hosts, site+":"+port)
		}
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	if open {
		note = "purged for " + strings.Join(hosts[:min(len(hosts), 10)], ", ") +
			": send the site's own name as Host to purge it for hosts that are not listed in the configuration"
	}
	return hosts, note
}

func (p *Purger) sites() []string {
	if p.o.Hosts == nil {
		return nil
	}
	return p.o.Hosts()
}

// isOwn reports whether a host is where the proxy is, rather than a site: an
// address, a name it was told is its own, or one without a dot, as machines and
// containers have, that is no site's.
func (p *Purger) isOwn(host string) bool {
	name := hostname(host)
	if slices.ContainsFunc(p.sites(), func(s string) bool { return hostname(s) == name }) {
		return false
	}
	return isAddress(name) || !strings.Contains(name, ".") ||
		slices.ContainsFunc(p.o.Names, func(s string) bool { return hostname(s) == name })
}
