package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"surrogate/config"
)

// A pair names the files of a certificate and of its key; one file may be both.
type pair struct{ certificate, key string }

func pairsOf(t *config.TLS) []pair {
	pairs := make([]pair, len(t.Certificates))
	for i, file := range t.Certificates {
		pairs[i] = pair{file, file}
		if len(t.Keys) > 0 {
			pairs[i].key = t.Keys[i]
		}
	}
	return pairs
}

// certificates are those of files. They are never changed, only replaced.
type certificates struct {
	all    []*tls.Certificate // the leaf of each is parsed
	files  []string           // where each is from
	byName map[string][]*tls.Certificate
}

// readCertificates reads all pairs or, returning all that is wrong with them, none.
func readCertificates(pairs []pair) (*certificates, error) {
	cs := &certificates{byName: map[string][]*tls.Certificate{}}
	var errs []error
	for _, p := range pairs {
		c, err := readPair(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("tls.certificates: %w", err))
			continue
		}
		cs.all, cs.files = append(cs.all, c), append(cs.files, p.certificate)
		for _, name := range namesOn(c.Leaf) {
			cs.byName[name] = append(cs.byName[name], c)
		}
	}
	return cs, errors.Join(errs...)
}

func readPair(p pair) (*tls.Certificate, error) {
	certificate, err := os.ReadFile(p.certificate)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the certificate: %w", err)
	}
	key := certificate
	if p.key != p.certificate {
		if key, err = os.ReadFile(p.key); err != nil {
			return nil, fmt.Errorf("couldn't read the key of %s: %w", p.certificate, err)
		}
	}
	c, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("couldn't use %s with the key in %s: %w", p.certificate, p.key, err)
	}
	return &c, nil
}

// namesOn are the names and addresses that a certificate is for.
func namesOn(leaf *x509.Certificate) []string {
	var names []string
	for _, n := range leaf.DNSNames {
		names = append(names, strings.ToLower(strings.TrimSuffix(n, ".")))
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// title is what a certificate is called in logs and metrics.
func title(leaf *x509.Certificate) string {
	if names := namesOn(leaf); len(names) > 0 {
		return names[0]
	}
	return cmp.Or(leaf.Subject.CommonName, "(no name)")
}

// wildcard is the name with "*" that covers a name too (RFC 9525, section 6.3),
// or "".
func wildcard(name string) string {
	if _, rest, ok := strings.Cut(name, "."); ok && strings.Contains(rest, ".") {
		return "*." + rest
	}
	return ""
}

// covers reports whether one of them is for a name; a name with "*" in front is
// covered only as such.
func (cs *certificates) covers(name string) bool {
	return len(cs.byName[name]) > 0 || !strings.HasPrefix(name, "*") && len(cs.byName[wildcard(name)]) > 0
}

// fitting is the first of some certificates that a client can use, or the first
// of them: one may have a key that only newer clients know.
func fitting(some []*tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	if len(some) == 0 {
		return nil
	}
	if len(some) > 1 {
		for _, c := range some {
			if hello.SupportsCertificate(c) == nil {
				return c
			}
		}
	}
	return some[0]
}

// hostname is the name in a Host, without a port, in lower case.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// sitesNames are the names of all sites, those with "*" in front included.
func sitesNames(cfg *config.Config) []string {
	var names []string
	for _, h := range hostsOf(cfg) {
		if h != "*" {
			names = append(names, hostname(h))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// acmeHosts are the hosts that certificates are to be got for: those that the
// configuration names or else those of the sites that no file covers. Addresses
// and names without a dot, which no public authority certifies, are left out.
func acmeHosts(cfg *config.Config, files *certificates) ([]string, error) {
	if !cfg.TLS.ACME {
		return nil, nil
	}
	if len(cfg.TLS.ACMEHosts) > 0 {
		return cfg.TLS.ACMEHosts, nil
	}
	var hosts []string
	var errs []error
	named := false
	for _, name := range sitesNames(cfg) {
		switch {
		case files.covers(name):
			named = true
		case strings.HasPrefix(name, "*"):
			errs = append(errs, fmt.Errorf("tls.acme: no certificate can be got for %s: one for a wildcard needs the DNS challenge, "+
				"which is not done here. Put one into tls.certificates, or name the hosts under it in tls.acme_hosts", name))
		case strings.Contains(name, ".") && !isAddress(name):
			hosts = append(hosts, name)
		}
	}
	if len(hosts) == 0 && len(errs) == 0 && !named {
		errs = append(errs, errors.New("tls.acme: no site names a host to get a certificate for: set tls.acme_hosts"))
	}
	return hosts, errors.Join(errs...)
}

// uncovered are the names of sites that clients will find no certificate for.
func uncovered(cfg *config.Config, files *certificates, acme []string) []string {
	return slices.DeleteFunc(sitesNames(cfg), func(name string) bool {
		return files.covers(name) || slices.Contains(acme, name)
	})
}

// ending says how near the end of a certificate is: "" while it is not, "soon" in
// the last fifth of its life, two weeks at most, and "over" after it.
func ending(leaf *x509.Certificate, now time.Time) string {
	soon := min(leaf.NotAfter.Sub(leaf.NotBefore)/5, 14*24*time.Hour)
	switch {
	case !now.Before(leaf.NotAfter):
		return "over"
	case now.After(leaf.NotAfter.Add(-soon)):
		return "soon"
	}
	return ""
}

// A stamp is what tells that a file is another than it was.
type stamp struct {
	changed time.Time
	size    int64
}

// stampsOf are the stamps of the pairs' files; that of a file which is not there
// is zero.
func stampsOf(pairs []pair) []stamp {
	var stamps []stamp
	for _, p := range pairs {
		for _, file := range []string{p.certificate, p.key} {
			var s stamp
			if info, err := os.Stat(file); err == nil {
				s = stamp{info.ModTime(), info.Size()}
			}
			stamps = append(stamps, s)
		}
	}
	return stamps
}
