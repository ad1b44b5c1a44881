package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"testing"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

func TestTLS(t *testing.T) {
	r, ca := redistest.StartTLS(t)
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	s := start(t, Options{Redis: Redis{URL: r.URL, TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}, MaxDeaf: deaf})
	waitFor(t, "all works", (&tried{t, s}).works)
}

// A certificate by nobody who is known is not believed, and a purge says so.
func TestAnUnknownAuthorityIsNotBelieved(t *testing.T) {
	r, _ := redistest.StartTLS(t)
	s, _ := launch(t, Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf})
	waitFor(t, "the breaker is open", s.reach.open.Load)
	if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"y"}}); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("a purge: %v", err)
	}
	if _, err := s.Get(t.Context(), "http://shop.test/", http.Header{}); err == nil {
		t.Error("a read succeeded")
	}
}
