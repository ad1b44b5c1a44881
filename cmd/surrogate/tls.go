package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"surrogate/config"
)

// A keyring has the certificates that HTTPS is served with: those of files, which
// it reads again when they change, and those that an acme gets.
type keyring struct {
	log    *slog.Logger
	counts *tlsCounts
	acme   *acme    // nil for none, and before begin
	hosts  []string // that acme manages at first

	inForce atomic.Pointer[certificates]

	mu     sync.Mutex // guards the fields below
	pairs  []pair
	seen   []stamp           // the files' when they were read last, whether they were good or not
	moving []stamp           // the files' at the last look, if they had just changed
	warned map[string]string // by certificate: how near its end the log says it is

	stop    context.CancelFunc
	working sync.WaitGroup
}

// newKeyring reads the files that a configuration names; begin starts the rest.
func newKeyring(cfg *config.Config, log *slog.Logger, counts *tlsCounts) (*keyring, error) {
	p, err := planTLS(cfg)
	if err != nil {
		return nil, err
	}
	k := &keyring{log: log, counts: counts, warned: map[string]string{}}
	k.use(p)
	k.hosts = p.acme
	return k, nil
}

// newKeys makes a node's keyring.
func (n *node) newKeys(cfg *config.Config) (err error) {
	if !cfg.TLS.Used() {
		return nil
	}
	n.keys, err = newKeyring(cfg, n.log, n.counted.tls())
	n.counted.keys = n.keys
	return err
}

// A tlsPlan is what a configuration comes to, read and found good.
type tlsPlan struct {
	pairs     []pair
	seen      []stamp
	files     *certificates
	acme      []string // hosts
	uncovered []string // hosts that clients will refuse
}

// planTLS reads what HTTPS is configured to be served with, and returns all that
// is wrong with it.
func planTLS(cfg *config.Config) (*tlsPlan, error) {
	p := &tlsPlan{pairs: pairsOf(&cfg.TLS)}
	p.seen = stampsOf(p.pairs) // before they are read: a change in between is seen
	var err error
	if p.files, err = readCertificates(p.pairs); err == nil {
		p.acme, err = acmeHosts(cfg, p.files)
	}
	p.uncovered = uncovered(cfg, p.files, p.acme)
	return p, errors.Join(err, checkACME(&cfg.TLS))
}

// use puts a plan in force, for connections that begin from now on.
func (k *keyring) use(p *tlsPlan) {
	k.mu.Lock()
	k.pairs, k.seen, k.moving = p.pairs, p.seen, nil
	k.inForce.Store(p.files)
	k.mu.Unlock()
	if len(p.uncovered) > 0 {
		k.log.Warn("no certificate covers these hosts of sites: browsers will refuse them", "hosts", strings.Join(p.uncovered, ", "))
	}
	if k.acme != nil {
		if err := k.acme.manage(p.acme); err != nil {
			k.log.Error("not all certificates are managed", "error", err)
		}
	}
}

// replan reads what a reload is to put in force.
func (k *keyring) replan(cfg *config.Config) (*tlsPlan, error) {
	p, err := planTLS(cfg)
	if err == nil && len(p.files.all) == 0 && k.acme == nil {
		err = errors.New("tls.certificates: there are none left; tls.acme takes effect after a restart only")
	}
	return p, err
}

// begin starts what needs the addresses of a front, which are bound by then.
// close ends it.
func (k *keyring) begin(t *config.TLS, f *front) error {
	if k == nil {
		return nil
	}
	if t.ACME {
		var err error
		if k.acme, err = newACME(t, f.publicAt[0].Addr(), f.secureAt[0].Addr(), k.log, k.counts); err != nil {
			return err
		}
		if err := k.acme.manage(k.hosts); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	k.working.Go(func() { k.run(ctx) })
	return nil
}

func (k *keyring) close() {
	if k == nil || k.stop == nil {
		return
	}
	k.stop()
	k.working.Wait()
	if k.acme != nil {
		k.acme.close()
	}
}

// candidates are the certificates for clients that ask for a name, "" being those
// that ask for none: those for the name itself, those for a wildcard over it, or
// else the first file's.
func (k *keyring) candidates(name string) []*tls.Certificate {
	files := k.inForce.Load()
	if c := files.byName[name]; len(c) > 0 {
		return c
	}
	if k.acme != nil {
		if c := k.acme.current(name); len(c) > 0 {
			return c
		}
	}
	if c := files.byName[wildcard(name)]; len(c) > 0 {
		return c
	}
	switch {
	case len(files.all) > 0:
		return files.all[:1]
	case k.acme != nil && name == "":
		return k.acme.byDefault()
	}
	return nil
}

// choose is the certificate that a client is shown. Without any the client is told
// that its name is not known here.
func (k *keyring) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := asked(hello.ServerName)
	if slices.Contains(hello.SupportedProtos, challengeProtocol) {
		if k.acme == nil || !k.acme.manages(name) {
			return nil, nil
		}
		return k.acme.proof(hello)
	}
	return fitting(k.candidates(name), hello), nil
}

// asked is the name that a client asked for, as ours are written.
func asked(serverName string) string { return strings.ToLower(strings.TrimSuffix(serverName, ".")) }

// covers reports whether a connection may be used for a host (RFC 9110, section
// 7.4): it was made for that name, or what was shown on it is for it too. Browsers
// use one connection for all names on its certificate. Who asks for an address
// cannot say so when he connects.
func (k *keyring) covers(c *tls.ConnectionState, host string) bool {
	at, name := asked(c.ServerName), hostname(host)
	if at == name || at == "" && isAddress(name) {
		return true
	}
	return slices.ContainsFunc(k.candidates(at), func(c *tls.Certificate) bool { return c.Leaf.VerifyHostname(name) == nil })
}

// config is what listeners speak TLS with. A connection's first 128 KiB go out in
// records that are small at first, which a client on a slow line can read sooner;
// it costs a few system calls more. Without (DynamicRecordSizingDisabled) hits on
// connections that are kept cost what they do with it (10 KiB: 16.6 µs and 16.8,
// 2026-11).
func (k *keyring) config(t *config.TLS) *tls.Config {
	c := &tls.Config{GetCertificate: k.choose, MinVersion: tls.VersionTLS12}
	if t.MinVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	if t.HTTP2 {
		c.NextProtos = append(c.NextProtos, "h2")
	}
	c.NextProtos = append(c.NextProtos, "http/1.1")
	if t.ACME {
		c.NextProtos = append(c.NextProtos, challengeProtocol)
	}
	return c
}

// challenges answers an authority's questions before next is asked.
func (k *keyring) challenges(next http.Handler) http.Handler {
	if k == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.acme == nil || !k.acme.answers(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// secure binds the addresses for HTTPS.
func (f *front) secure(t *config.TLS, k *keyring) error {
	if k == nil {
		return nil
	}
	for _, a := range t.Listen {
		l, err := bind(a, "tls.listen")
		if err != nil {
			return err
		}
		f.secureAt = append(f.secureAt, l)
	}
	f.tls = k.config(t)
	f.public.Protocols.SetHTTP2(t.HTTP2)
	return nil
}
