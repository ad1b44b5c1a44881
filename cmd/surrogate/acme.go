package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"surrogate/config"
)

// challengeProtocol is what an authority speaks that wants proof of a host over TLS
// (RFC 8737).
const challengeProtocol = "acme-tls/1"

// An acme gets certificates from an authority and renews them. It is certmagic's
// and zap's only doorway. Names that nobody configured never reach certmagic: no
// client can make it ask an authority, or look into its files, for them.
type acme struct {
	log    *slog.Logger
	counts *tlsCounts
	magic  *certmagic.Config
	issuer *certmagic.ACMEIssuer
	cache  *certmagic.Cache
	stop   context.CancelFunc
	ctx    context.Context // ends with close

	mu    sync.RWMutex                  // guards the two below
	hosts map[string]context.CancelFunc // that it has, or gets, a certificate for; called, it gives up
	first string                        // of them, for clients that name none
}

// checkACME says what is wrong with the files it works with.
func checkACME(cfg *config.TLS) error {
	if !cfg.ACME {
		return nil
	}
	if info, err := os.Stat(cfg.ACMEStorage); err == nil && !info.IsDir() {
		return fmt.Errorf("tls.acme_storage: %s is no directory", cfg.ACMEStorage)
	}
	_, err := acmeRoots(cfg)
	return err
}

// acmeRoots are the certificates that the authority's server must be signed by; nil
// are the system's.
func acmeRoots(cfg *config.TLS) (*x509.CertPool, error) {
	if cfg.ACMECARoots == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(cfg.ACMECARoots)
	if err != nil {
		return nil, fmt.Errorf("tls.acme_ca_roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.acme_ca_roots: there is no certificate in %s", cfg.ACMECARoots)
	}
	return pool, nil
}

// newACME begins the work on certificates; manage says on which. plain and secure
// are the addresses at which the authority's questions arrive.
func newACME(cfg *config.TLS, plain, secure net.Addr, log *slog.Logger, counts *tlsCounts) (*acme, error) {
	roots, err := acmeRoots(cfg)
	if err != nil {
		return nil, err
	}
	storage, err := filepath.Abs(cfg.ACMEStorage)
	if err == nil {
		err = os.MkdirAll(storage, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("tls.acme_storage: %w", err)
	}
	a := &acme{log: log, counts: counts, hosts: map[string]context.CancelFunc{}}
	a.ctx, a.stop = context.WithCancel(context.Background())
	a.begin(cfg, storage, roots, plain, secure)
	return a, nil
}

// begin starts certmagic.
func (a *acme) begin(cfg *config.TLS, storage string, roots *x509.CertPool, plain, secure net.Addr) {
	log := zap.New(zapToSlog{log: a.log})
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.magic, nil },
		Logger:           log,
	})
	a.magic = certmagic.New(a.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: storage},
		Logger:  log,
		OnEvent: a.happened,
	})
	// The listeners are ours: given their ports, certmagic sees them taken and
	// opens none.
	host, tlsPort := hostAndPort(secure)
	_, httpPort := hostAndPort(plain)
	a.issuer = certmagic.NewACMEIssuer(a.magic, certmagic.ACMEIssuer{
		CA: cfg.ACMECA, Email: cfg.ACMEEmail, Agreed: true, TrustedRoots: roots,
		ListenHost: host, AltHTTPPort: httpPort, AltTLSALPNPort: tlsPort,
		DisableHTTPChallenge:    cfg.ACMEChallenge == "tls-alpn-01",
		DisableTLSALPNChallenge: cfg.ACMEChallenge == "http-01",
		Logger:                  log,
	})
	a.magic.Issuers = []certmagic.Issuer{a.issuer}
}

// hostAndPort takes an address apart; the host is "" for every interface.
func hostAndPort(at net.Addr) (string, int) {
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return "", 0 // not reached: bind listens on TCP only
	}
	if tcp.IP.IsUnspecified() {
		return "", tcp.Port
	}
	return tcp.IP.String(), tcp.Port
}

// manage gets certificates for hosts that it has not managed so far, and gives up
// and forgets those of others. It waits for nothing.
func (a *acme) manage(hosts []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.first = ""; len(hosts) > 0 {
		a.first = hosts[0]
	}
	var gone []certmagic.SubjectIssuer
	for h, giveUp := range a.hosts {
		if !slices.Contains(hosts, h) {
			giveUp()
			delete(a.hosts, h)
			gone = append(gone, certmagic.SubjectIssuer{Subject: h})
		}
	}
	a.cache.RemoveManaged(gone)
	var errs []error
	for _, h := range hosts {
		if a.hosts[h] != nil {
			continue // asked for again, it would be waited for twice while the authority refuses
		}
		ctx, giveUp := context.WithCancel(a.ctx)
		a.hosts[h] = giveUp
		if err := a.magic.ManageAsync(ctx, []string{h}); err != nil {
			errs = append(errs, fmt.Errorf("couldn't begin to get a certificate: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (a *acme) manages(name string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.hosts[name] != nil
}

// names are the hosts it manages, in order.
func (a *acme) names() []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.Sorted(maps.Keys(a.hosts))
}

// proof is the certificate that shows the authority that a host is ours.
func (a *acme) proof(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return a.magic.GetCertificate(hello)
}

// current are the certificates of a host that it manages, the latest first; none
// while it has none.
func (a *acme) current(name string) []*tls.Certificate {
	if !a.manages(name) {
		return nil
	}
	var all []*tls.Certificate
	for _, c := range a.cache.AllMatchingCertificates(name) {
		if c.Leaf != nil {
			all = append(all, &c.Certificate)
		}
	}
	slices.SortFunc(all, func(a, b *tls.Certificate) int { return b.Leaf.NotAfter.Compare(a.Leaf.NotAfter) })
	return all
}

// byDefault are certificates for clients that name no host.
func (a *acme) byDefault() []*tls.Certificate {
	a.mu.RLock()
	first := a.first
	a.mu.RUnlock()
	return a.current(first)
}

// answers answers an authority's question over HTTP, if it is one, and one that
// was expected. All others are the origin's to answer.
func (a *acme) answers(w http.ResponseWriter, r *http.Request) bool {
	return certmagic.LooksLikeHTTPChallenge(r) && a.manages(hostname(r.Host)) && a.issuer.HandleHTTPChallenge(w, r)
}

// happened is told by certmagic what it has done. Why something failed it logs
// itself.
func (a *acme) happened(_ context.Context, event string, about map[string]any) error {
	switch event {
	case "cert_obtained":
		a.counts.obtained.Inc()
		a.log.Info("got a certificate", "host", about["identifier"], "renewal", about["renewal"], "from", about["issuer"])
	case "cert_failed":
		a.counts.failures.Inc()
	}
	return nil
}

// close ends the work on certificates and lets go of what other nodes could wait
// for. What is on its way to the authority ends soon after.
func (a *acme) close() {
	a.stop()
	a.cache.Stop()
	certmagic.CleanUpOwnLocks(context.WithoutCancel(a.ctx), zap.New(zapToSlog{log: a.log}))
}

// zapToSlog is a zapcore.Core that writes to our log. certmagic's Info tells of
// every step; here that is for debugging.
type zapToSlog struct {
	log    *slog.Logger
	fields []zapcore.Field
}

func levelOfZap(l zapcore.Level) slog.Level {
	switch {
	case l < zapcore.WarnLevel:
		return slog.LevelDebug
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelError
}

func (z zapToSlog) Enabled(l zapcore.Level) bool {
	return z.log.Enabled(context.Background(), levelOfZap(l))
}

func (z zapToSlog) With(fields []zapcore.Field) zapcore.Core {
	return zapToSlog{z.log, slices.Concat(z.fields, fields)}
}

func (z zapToSlog) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(e.Level) {
		return c.AddCore(e, z)
	}
	return c
}

func (z zapToSlog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(z.fields, fields) {
		f.AddTo(m)
	}
	args := []any{"about", "certificates"}
	for _, name := range slices.Sorted(maps.Keys(m.Fields)) {
		args = append(args, name, m.Fields[name])
	}
	z.log.Log(context.Background(), levelOfZap(e.Level), e.Message, args...)
	return nil
}

func (zapToSlog) Sync() error { return nil }
