package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// certify writes a certificate for 127.0.0.1 with its key, in one file as HAProxy
// wants it, and returns where. It is of the kind that most sites have today.
func (b *bench) certify() (file string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	for _, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: certificate}, {Type: "PRIVATE KEY", Bytes: private}} {
		if err := pem.Encode(&text, block); err != nil {
			return "", err
		}
	}
	file = filepath.Join(b.dir, "certificate.pem")
	// Readable by whom nginx and HAProxy become; the key is this run's alone.
	return file, os.WriteFile(file, text.Bytes(), 0o644)
}

// clientTLS is what clients here speak: whom they reach they know.
func clientTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func dialTLS(addr string) (*conn, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", addr, clientTLS())
	if err != nil {
		return nil, err
	}
	return newConn(c), nil
}

// getHTTP2 asks once, by HTTP/2. The head of the answer is written as HTTP/1.1's is.
func getHTTP2(addr, path string, fields ...string) (a answer, err error) {
	t := &http.Transport{TLSClientConfig: clientTLS(), ForceAttemptHTTP2: true, DisableCompression: true}
	defer t.CloseIdleConnections()
	r, err := http.NewRequest(http.MethodGet, "https://"+addr+path, nil)
	if err != nil {
		return answer{}, err
	}
	for pair := range slices.Chunk(append(slices.Clone(browser), fields...), 2) {
		r.Header.Set(pair[0], pair[1])
	}
	resp, err := t.RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		return answer{}, fmt.Errorf("GET https://%s%s is answered by %s", addr, path, resp.Proto)
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s\r\n", resp.Proto, resp.Status)
	if err := resp.Header.Write(&head); err != nil {
		return answer{}, err
	}
	head.WriteString("\r\n")
	a = answer{status: resp.StatusCode, head: head.Bytes()}
	a.body, err = io.ReadAll(resp.Body)
	return a, err
}
