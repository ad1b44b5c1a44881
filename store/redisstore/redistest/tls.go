package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// StartTLS starts a server that speaks TLS only, with a certificate for
// 127.0.0.1 by an authority of its own, whose certificate is in the file ca.
func StartTLS(t testing.TB, args ...string) (s *Server, ca string) {
	t.Helper()
	dir := shortDir(t)
	authority, authorityKey := certificate(t, nil, nil)
	leaf, leafKey := certificate(t, authority, authorityKey)
	key, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca = file("ca.pem", "CERTIFICATE", authority.Raw)
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	port := strconv.Itoa(FreePort(t))
	addr := net.JoinHostPort("127.0.0.1", port)
	s = &Server{Addr: addr, URL: "rediss://" + addr, t: t, dir: dir, tls: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	s.args = append([]string{"--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--tls-auth-clients", "no",
		"--tls-cert-file", file("cert.pem", "CERTIFICATE", leaf.Raw), "--tls-key-file", file("key.pem", "EC PRIVATE KEY", key), "--tls-ca-cert-file", ca}, args...)
	s.begin()
	return s, ca
}

// certificate makes a certificate for 127.0.0.1, or an authority's own if by is
// nil.
func certificate(t testing.TB, by *x509.Certificate, byKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "redis for a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if by == nil {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
		by, byKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, byKey)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c, key
}
