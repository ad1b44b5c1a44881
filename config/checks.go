package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// checks are what the tag "is" names: each returns the value in its normal form,
// or what is accepted. None is asked about an empty value.
var checks = map[string]func(string) (string, error){
	"address": checkAddress,
	"redis":   checkRedis,
	"secret":  anyText,
	"file":    anyText,
	// Several certificates may have one key, so that it may be listed twice.
	"key-file": anyText,
	"email": func(s string) (string, error) {
		if a, err := mail.ParseAddress(s); err != nil || a.Address != s {
			return "", errors.New(`want an address such as "ops@shop.example"`)
		}
		return s, nil
	},
	"https": func(s string) (string, error) {
		if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" {
			return "", errors.New(`want a URL that begins with "https://"`)
		}
		return s, nil
	},
	"acme-host": checkACMEHost,
	"host":      checkHost,
	"name": func(s string) (string, error) {
		return s, only(s, func(c byte) bool { return isNameByte(c) || strings.IndexByte(".*:[]", c) >= 0 },
			`want letters, digits, "-", "_", "." or a host`)
	},
	"token": func(s string) (string, error) {
		return s, only(s, func(c byte) bool { return c > ' ' && c < 0x7f }, "want visible ASCII characters, without spaces")
	},
	"field": func(s string) (string, error) {
		return s, only(s, isTokenByte, `want the name of a header field, such as "Surrogate-Key"`)
	},
	"field-strip": func(s string) (string, error) {
		for _, f := range []string{"Connection", "Content-Length", "Transfer-Encoding"} {
			if strings.EqualFold(f, s) {
				return "", errors.New("want a field that the message can do without")
			}
		}
		return s, only(s, isTokenByte, `want the name of a header field, such as "X-Powered-By"`)
	},
	"coding": func(s string) (string, error) {
		s = strings.ToLower(s)
		if s == "identity" {
			return "", errors.New("want a content coding; uncompressed is always accepted")
		}
		return s, only(s, isTokenByte, `want a content coding, such as "br"`)
	},
	"cookie": func(s string) (string, error) {
		return s, only(strings.TrimSuffix(s, "*"), func(c byte) bool { return isTokenByte(c) && c != '*' },
			`want the name of a cookie, or its beginning and "*"`)
	},
	"base":     checkBase,
	"target":   checkTarget,
	"template": checkTemplate,
	"schedule": func(s string) (string, error) {
		_, err := ParseSchedule(s)
		return s, err
	},
	"path": func(s string) (string, error) {
		want := `want the path of URLs, such as "/cart", or its beginning and "*"`
		if s[0] != '/' {
			return "", errors.New(want)
		}
		return s, only(strings.TrimSuffix(s, "*"), func(c byte) bool { return c > ' ' && c != 0x7f && c != '*' && c != '#' }, want)
	},
	"pattern": func(s string) (string, error) {
		return s, only(strings.TrimSuffix(s, "*"), func(c byte) bool { return c > ' ' && c != 0x7f && strings.IndexByte("*&=#?", c) < 0 },
			`want the name of a query parameter, or its beginning and "*"`)
	},
}

// only returns an error saying want unless all bytes of s are ok.
func only(s string, ok func(byte) bool, want string) error {
	for i := range len(s) {
		if !ok(s[i]) {
			return errors.New(want)
		}
	}
	return nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// isTokenByte is RFC 9110, section 5.6.2.
func isTokenByte(c byte) bool { return isNameByte(c) || strings.IndexByte("!#$%&'*+.^`|~", c) >= 0 }

// checkAddress accepts what can be listened on.
func checkAddress(s string) (string, error) {
	want := errors.New(`want an address such as ":8080", "127.0.0.1:8080" or "[::1]:8080"`)
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if _, numeric := strconv.ParseUint(s, 10, 16); numeric == nil {
			return "", fmt.Errorf(`%w: did you mean ":%s"?`, want, s)
		}
		return "", want
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%w: the port is a number up to 65535", want)
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil && !isHostname(host) {
		return "", want
	}
	return s, nil
}

// checkRedis accepts the URL of a Redis. What is wrong is said without the URL,
// which may hold a password.
func checkRedis(s string) (string, error) {
	want := errors.New(`want a URL such as "redis://host:6379/0", "unix:///run/redis.sock", "redis+sentinel://host:26379/master" or "redis+cluster://host:6379"`)
	u, err := url.Parse(s)
	if err != nil {
		return "", want
	}
	switch u.Scheme {
	case "unix":
		if u.Path == "" {
			return "", want
		}
		return s, nil
	case "redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster":
	default:
		return "", want
	}
	path := strings.Split(strings.Trim(u.Path, "/"), "/")
	if strings.HasSuffix(u.Scheme, "+sentinel") {
		if path[0] == "" {
			return "", errors.New("want the master's name after the sentinels: redis+sentinel://host:26379/master")
		}
		path = path[1:]
	}
	if len(path) > 1 {
		return "", want
	}
	if len(path) == 1 && path[0] != "" {
		if n, err := strconv.ParseUint(path[0], 10, 31); err != nil || n != 0 && strings.HasSuffix(u.Scheme, "+cluster") {
			return "", errors.New("want the number of a database after the host, and none for a cluster")
		}
	}
	if u.Host == "" {
		return "", want
	}
	return s, nil
}

// isLoopback reports whether only this machine can reach the address, which
// checkAddress accepted.
func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// checkHost accepts a host name or an address, with a port or not, and a name
// with "*." in front.
func checkHost(s string) (string, error) {
	host, port := strings.ToLower(s), ""
	if h, p, err := net.SplitHostPort(host); err == nil && !strings.Contains(host, "://") {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 || strings.HasPrefix(h, "*") {
			return "", errors.New(`want a port from 1 to 65535, and none after "*"`)
		}
		if host = h; n != 80 && n != 443 { // clients do not write their scheme's own
			port = ":" + p
		}
	}
	host = strings.TrimSuffix(host, ".")
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		if ip.Is6() {
			return "[" + ip.String() + "]" + port, nil
		}
		return ip.String() + port, nil
	}
	name := strings.TrimPrefix(host, "*.")
	switch {
	case host == "*":
		return "", errors.New("a site with no hosts at all serves every host")
	case strings.ContainsAny(host, ":/"):
		return "", errors.New("want a host alone, without a scheme or a path")
	case strings.Contains(name, "*"):
		return "", errors.New(`want "*" only in front, as in "*.shop.example"`)
	case !isHostname(name):
		return "", errors.New(`want a host such as "shop.example" or "*.shop.example", other alphabets in their xn-- form`)
	}
	return host + port, nil
}

// checkACMEHost accepts a name that a certificate can be got for.
func checkACMEHost(s string) (string, error) {
	host := strings.TrimSuffix(strings.ToLower(s), ".")
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	switch {
	case strings.HasPrefix(host, "*"):
		return "", errors.New("a certificate for a wildcard needs the DNS challenge, which is not done here: put one into tls.certificates")
	case err == nil || !isHostname(host) || !strings.Contains(host, "."):
		return "", errors.New(`want a host such as "shop.example", without a port, other alphabets in their xn-- form`)
	}
	return host, nil
}

// anyText accepts everything: only use tells whether it is right.
func anyText(s string) (string, error) { return s, nil }

// isHostname reports whether s is labels of letters, digits, "-" and "_"
// joined by dots.
func isHostname(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || only(label, isNameByte, "-") != nil || label[0] == '-' || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return len(s) <= 253
}

// parsePrefix reads a network, "10.0.0.0/8", or an address, which is a network
// of one.
func parsePrefix(s string) (netip.Prefix, error) {
	want := errors.New(`want a network such as "10.0.0.0/8" or an address`)
	p, err := netip.ParsePrefix(s)
	if ip, errIP := netip.ParseAddr(s); errIP == nil && ip.Zone() == "" {
		p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	switch {
	case err != nil:
		return p, want
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%w: write IPv4 as such", want)
	case p != p.Masked():
		return p, fmt.Errorf("%w: did you mean %q?", want, p.Masked())
	}
	return p, nil
}

// parseOrigin reads the URL of an origin: scheme and host, a port perhaps.
func parseOrigin(s string) (*url.URL, error) {
	want := errors.New(`want "http://host:port" or "https://host:port"`)
	u, err := url.Parse(s)
	switch {
	case !strings.Contains(s, "://") && s != "":
		if u, err := parseOrigin("http://" + s); err == nil {
			return nil, fmt.Errorf("%w: did you mean %q?", want, u)
		}
		return nil, want
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return nil, want
	case u.User != nil:
		return nil, fmt.Errorf("%w: it cannot carry a user", want)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%w: it cannot have a path, requests keep theirs", want)
	}
	name, port := strings.ToLower(u.Hostname()), u.Port()
	ip, err := netip.ParseAddr(name)
	if err != nil && !isHostname(name) || strings.HasSuffix(u.Host, ":") {
		return nil, want
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return nil, fmt.Errorf("%w: the port is a number from 1 to 65535", want)
	}
	if ip.Is6() {
		name = "[" + name + "]"
	}
	if port != "" {
		name += ":" + port
	}
	return &url.URL{Scheme: u.Scheme, Host: name}, nil
}
