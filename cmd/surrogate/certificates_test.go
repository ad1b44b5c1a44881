package main

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/config"
)

// ringWith is a keyring with these files.
func ringWith(t *testing.T, log *slog.Logger, pairs ...pair) *keyring {
	t.Helper()
	cfg := config.Default()
	cfg.TLS.Listen = []string{":443"}
	for _, p := range pairs {
		cfg.TLS.Certificates, cfg.TLS.Keys = append(cfg.TLS.Certificates, p.certificate), append(cfg.TLS.Keys, p.key)
	}
	k, err := newKeyring(cfg, log, newCounted().tls())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestChosenCertificate(t *testing.T) {
	a := newAuthority(t)
	k := ringWith(t, slog.New(slog.DiscardHandler),
		a.files(t, "first", 90*days, "first.example", "192.0.2.1"),
		a.files(t, "wild", 90*days, "*.shop.example", "shop.example"),
		a.files(t, "exact", 90*days, "WWW.shop.example"))
	for asked, want := range map[string]string{
		"first.example":      "192.0.2.1",
		"shop.example":       "*.shop.example",
		"SHOP.example.":      "*.shop.example",
		"img.shop.example":   "*.shop.example",
		"www.shop.example":   "www.shop.example", // the name itself before a wildcard
		"a.img.shop.example": "192.0.2.1",        // one label, not two
		"other.example":      "192.0.2.1",
		"example":            "192.0.2.1",
		"":                   "192.0.2.1",
	} {
		c, err := k.choose(&tls.ClientHelloInfo{ServerName: asked})
		if err != nil || title(c.Leaf) != want {
			t.Errorf("%q is shown %q, %v; want %q", asked, title(c.Leaf), err, want)
		}
	}
	if c, err := k.choose(&tls.ClientHelloInfo{ServerName: "shop.example", SupportedProtos: []string{challengeProtocol}}); c != nil || err != nil {
		t.Errorf("a challenge that nobody asked for is answered with %v, %v", c, err)
	}
}

// A client that does not know one kind of key is shown the other.
func TestTwoKindsOfKeys(t *testing.T) {
	a := newAuthority(t)
	old := pair{filepath.Join(a.dir, "both.pem"), ""}
	old.key = old.certificate
	certificate, key := a.sign(t, rsaKey(t), 90*days, "shop.example")
	writeFile(t, old.certificate, certificate+key)
	k := ringWith(t, slog.New(slog.DiscardHandler), a.files(t, "new", 90*days, "shop.example"), old)
	for scheme, want := range map[tls.SignatureScheme]x509.PublicKeyAlgorithm{
		tls.ECDSAWithP256AndSHA256: x509.ECDSA, tls.PSSWithSHA256: x509.RSA,
	} {
		c, err := k.choose(&tls.ClientHelloInfo{
			ServerName: "shop.example", SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{scheme},
			CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256},
		})
		if err != nil || c.Leaf.PublicKeyAlgorithm != want {
			t.Errorf("for %v: %v, %v", scheme, c.Leaf.PublicKeyAlgorithm, err)
		}
	}
}

func TestConnectionCovers(t *testing.T) {
	a := newAuthority(t)
	k := ringWith(t, slog.New(slog.DiscardHandler),
		a.files(t, "first", 90*days, "first.example"), a.files(t, "wild", 90*days, "*.shop.example", "shop.example"))
	for _, c := range []struct {
		asked, host string
		want        bool
	}{
		{"shop.example", "shop.example", true},
		{"shop.example", "Shop.Example:8443", true},
		{"shop.example", "www.shop.example", true}, // browsers do
		{"www.shop.example", "img.shop.example", true},
		{"shop.example", "first.example", false},
		{"first.example", "shop.example", false},
		{"other.example", "other.example", true}, // whoever accepts the wrong certificate has his reasons
		{"other.example", "first.example", true}, // it is what was shown
		{"other.example", "shop.example", false},
		{"", "first.example", true},
		{"", "shop.example", false},
		{"", "127.0.0.1:8443", true},
		{"", "[::1]:8443", true},
		{"shop.example", "127.0.0.1", false},
	} {
		if got := k.covers(&tls.ConnectionState{ServerName: c.asked}, c.host); got != c.want {
			t.Errorf("made for %q, used for %q: %t", c.asked, c.host, got)
		}
	}
}

func TestACMEHosts(t *testing.T) {
	a := newAuthority(t)
	files, err := readCertificates([]pair{a.files(t, "wild", 90*days, "*.shop.example", "shop.example")})
	if err != nil {
		t.Fatal(err)
	}
	none, err := readCertificates(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sites []string
		named []string
		files *certificates
		want  string // hosts, or a part of the error
	}{
		{[]string{"a.example", "B.example:8443", "a.example:8080"}, nil, none, "a.example b.example"},
		{[]string{"a.example", "192.0.2.1", "[2001:db8::1]:8443", "localhost"}, nil, none, "a.example"},
		{[]string{"www.shop.example", "*.shop.example", "a.example"}, nil, files, "a.example"},
		{[]string{"*.shop.example"}, nil, files, ""},
		{[]string{"a.example", "*.shop.example"}, nil, none, "no certificate can be got for *.shop.example: one for a wildcard needs the DNS challenge"},
		{[]string{"*.shop.example"}, []string{"x.shop.example"}, none, "x.shop.example"},
		{nil, nil, none, "set tls.acme_hosts"},
		{nil, []string{"a.example"}, none, "a.example"},
	} {
		cfg := config.Default()
		cfg.TLS.ACME, cfg.TLS.ACMEHosts = true, c.named
		cfg.Sites = []config.Site{{Hosts: c.sites}}
		got, err := acmeHosts(cfg, c.files)
		if err != nil && !(c.want != "" && strings.Contains(err.Error(), c.want)) || err == nil && strings.Join(got, " ") != c.want {
			t.Errorf("%q: %q, %v; want %q", c.sites, got, err, c.want)
		}
	}
}

func TestEnding(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		life, left time.Duration
		want       string
	}{
		{90 * days, 15 * days, ""}, {90 * days, 13 * days, "soon"}, {90 * days, 0, "over"}, {90 * days, -days, "over"},
		{6 * days, 2 * days, ""}, {6 * days, days, "soon"}, {365 * days, 20 * days, ""},
	} {
		leaf := &x509.Certificate{NotBefore: now.Add(c.left - c.life), NotAfter: now.Add(c.left)}
		if got := ending(leaf, now); got != c.want {
			t.Errorf("%v left of %v: %q, want %q", c.left, c.life, got, c.want)
		}
	}
}

// What is wrong with files is said of all of them, with their names.
func TestBrokenPairs(t *testing.T) {
	a := newAuthority(t)
	good, other := a.files(t, "good", 90*days, "a.example"), a.files(t, "other", 90*days, "b.example")
	empty := writeFile(t, filepath.Join(a.dir, "empty.pem"), "nothing here\n")
	for _, c := range []struct {
		pairs []pair
		says  []string
	}{
		{[]pair{good, {good.certificate, other.key}}, []string{good.certificate + " with the key in " + other.key + ": tls: private key does not match public key"}},
		{[]pair{{a.dir + "/nowhere.pem", good.key}, {empty, good.key}}, []string{"nowhere.pem: no such file", "empty.pem with the key in"}},
		{[]pair{{good.certificate, a.dir + "/nowhere.key"}}, []string{"key of " + good.certificate + ": open " + a.dir + "/nowhere.key: no such file"}},
		{[]pair{{good.certificate, good.certificate}}, []string{"found a certificate rather than a key"}},
	} {
		_, err := readCertificates(c.pairs)
		for _, want := range c.says {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "tls.certificates: ") {
				t.Errorf("%v; want %q", err, want)
			}
		}
	}
}

// Files that change are read again when they have come to rest, and one that
// cannot be used changes nothing and is told of once.
func TestChangedFiles(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		log := newOutput()
		p := a.files(t, "shop", 3650*days, "old.example") // the bubble's clock is behind
		k := ringWith(t, slog.New(slog.NewTextHandler(log, nil)), p)
		if err := k.begin(&config.TLS{}, nil); err != nil {
			t.Fatal(err)
		}
		defer k.close()
		shows := func(want string) {
			t.Helper()
			c, err := k.choose(&tls.ClientHelloInfo{ServerName: "x.example"})
			if err != nil || title(c.Leaf) != want {
				t.Errorf("shows %s, %v; want %s", title(c.Leaf), err, want)
			}
		}
		later := func(file string, n int) { // file systems know nothing of the bubble's time
			t.Helper()
			at := time.Now().Add(time.Duration(n) * time.Hour)
			if err := os.Chtimes(file, at, at); err != nil {
				t.Fatal(err)
			}
		}
		certificate, key := a.sign(t, newKey(t), 3650*days, "new.example")
		writeFile(t, p.certificate, certificate) // its key comes in a moment
		later(p.certificate, 1)
		time.Sleep(filesEvery + time.Second)
		shows("old.example")
		writeFile(t, p.key, key)
		later(p.key, 1)
		time.Sleep(2*filesEvery + time.Second)
		shows("new.example")
		if strings.Contains(log.String(), "refused") {
			t.Errorf("read while it was written:\n%s", log)
		}

		writeFile(t, p.certificate, "rubbish")
		later(p.certificate, 2)
		time.Sleep(10 * filesEvery)
		shows("new.example")
		if n := strings.Count(log.String(), "a changed certificate was refused"); n != 1 || !strings.Contains(log.String(), p.certificate) {
			t.Errorf("said %d times:\n%s", n, log)
		}
		if err := os.Remove(p.certificate); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * filesEvery)
		shows("new.example")
		if n := k.counts.failures.Get(); n != 2 {
			t.Errorf("counted %d failures", n)
		}
	})
}

// A certificate's end is told of twice, before and after, however often it is
// looked at.
func TestExpiryIsToldOnce(t *testing.T) {
	a := newAuthority(t)
	log := newOutput()
	k := ringWith(t, slog.New(slog.NewTextHandler(log, nil)), a.files(t, "shop", 30*days, "shop.example"))
	levels := func() []string {
		var all []string
		for line := range strings.Lines(log.String()) {
			_, rest, _ := strings.Cut(line, "level=")
			level, _, _ := strings.Cut(rest, " ")
			all = append(all, level)
		}
		return all
	}
	for _, in := range []time.Duration{0, 15 * days, 17 * days, 20 * days, 29 * days, 31 * days, 32 * days} {
		k.warn(time.Now().Add(in))
	}
	if got := levels(); !slices.Equal(got, []string{"WARN", "ERROR"}) {
		t.Errorf("said %v:\n%s", got, log)
	}
}
