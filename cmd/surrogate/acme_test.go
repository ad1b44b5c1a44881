package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
)

// pebble are the paths of an ACME server for tests, and of a DNS server for it.
var pebble = sync.OnceValues(func() ([2]string, error) {
	var paths [2]string
	for i, name := range []string{"pebble", "pebble-challtestsrv"} {
		paths[i] = filepath.Join(scratch, name)
		out, err := exec.Command("go", "build", "-modfile=../tools.mod", "-o", paths[i], "github.com/letsencrypt/pebble/v2/cmd/"+name).CombinedOutput()
		if err != nil {
			return paths, fmt.Errorf("building %s: %v\n%s", name, err, out)
		}
	}
	return paths, nil
})

// A pebbleServer is a certificate authority that asks for proof, at the ports where
// surrogate is to listen.
type pebbleServer struct {
	directory, roots   string // URL, and the file that its own certificate is signed by
	httpPort, tlsPort  int
	management         string
	trustsIt           *http.Client
	process, nameServe *exec.Cmd
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // at the end: no port twice
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func startPebble(t *testing.T) *pebbleServer {
	t.Helper()
	paths, err := pebble()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	ports := freePorts(t, 5)
	s := &pebbleServer{httpPort: ports[0], tlsPort: ports[1]}
	own := newAuthority(t)
	pair := own.files(t, "pebble", 90*days, "127.0.0.1")
	s.roots = filepath.Join(own.dir, "roots.pem")
	writeFile(t, s.roots, own.pem())
	s.directory = fmt.Sprintf("https://127.0.0.1:%d/dir", ports[2])
	s.management = fmt.Sprintf("127.0.0.1:%d", ports[3])
	config := writeFile(t, filepath.Join(own.dir, "pebble.json"), fmt.Sprintf(`{"pebble": {
		"listenAddress": "127.0.0.1:%d", "managementListenAddress": %q, "certificate": %q, "privateKey": %q,
		"httpPort": %d, "tlsPort": %d, "retryAfter": {"authz": 1, "order": 1}}}`,
		ports[2], s.management, pair.certificate, pair.key, s.httpPort, s.tlsPort))
	s.nameServe = exec.Command(paths[1], "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", "",
		"-dnsserver", fmt.Sprintf("127.0.0.1:%d", ports[4]), "-defaultIPv6", "")
	s.process = exec.Command(paths[0], "-config", config, "-dnsserver", fmt.Sprintf("127.0.0.1:%d", ports[4]))
	s.process.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	for _, cmd := range []*exec.Cmd{s.nameServe, s.process} {
		log := newOutput()
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
			if t.Failed() {
				t.Logf("%s said:\n%s", filepath.Base(cmd.Path), log)
			}
		})
	}
	s.trustsIt = own.clientTo(t, s.management, false)
	eventually(t, func() error {
		for _, port := range []int{ports[2], ports[3]} {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return err
			}
			c.Close()
		}
		return nil
	})
	return s
}

// issued is an authority that trusts what pebble has signed.
func (s *pebbleServer) issued(t *testing.T) *authority {
	t.Helper()
	resp, err := s.trustsIt.Get("https://127.0.0.1/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	pem, err := io.ReadAll(resp.Body)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%v: %s", err, pem)
	}
	return &authority{pool: pool}
}

// args make surrogate get certificates from it.
func (s *pebbleServer) args(storage, challenge string) []string {
	return []string{
		"--listen", fmt.Sprintf("127.0.0.1:%d", s.httpPort), "--admin", "127.0.0.1:0",
		"--set", fmt.Sprintf("tls.listen=127.0.0.1:%d", s.tlsPort),
		"--set", "tls.acme=true", "--set", "tls.acme_ca=" + s.directory, "--set", "tls.acme_ca_roots=" + s.roots,
		"--set", "tls.acme_storage=" + storage, "--set", "tls.acme_email=ops@shop.example", "--set", "tls.acme_challenge=" + challenge,
	}
}

// Certificates are got by either kind of proof, for the hosts of the sites, and
// outlive the program and the authority.
func TestACME(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			s := startPebble(t)
			origin, _ := taggingOrigin(t)
			site := func(hosts string) string {
				return fmt.Sprintf("[[site]]\nhosts = [%s]\norigins = [%q]\nredirect_https = true\n", hosts, origin)
			}
			file := writeFile(t, "", site(`"shop.example"`))
			storage := filepath.Join(t.TempDir(), "not", "there", "yet")
			args := append([]string{"--config", file}, s.args(storage, challenge)...)
			p := launch(t, programWith(t, args...))
			p.ready(t)
			p.log.await(t, `level=INFO msg="got a certificate" host=shop.example renewal=false`)
			a := s.issued(t)
			addr := fmt.Sprintf("127.0.0.1:%d", s.tlsPort)
			answers := func(host string) {
				t.Helper()
				eventually(t, func() error { // it is stored first, then shown
					got, err := tryWith(a.clientTo(t, addr, true), "GET", "https://"+host+"/", "")
					if err == nil && (got.StatusCode != 200 || got.Proto != "HTTP/2.0") {
						err = errors.New(got.Status + " " + got.Proto)
					}
					return err
				})
			}
			answers("shop.example")
			if got := get(t, p.proxy+"/a", "Host: shop.example"); got.StatusCode != 308 {
				t.Errorf("over HTTP: %s", got.Status)
			}
			if text := get(t, p.admin+"/metrics").body; !strings.Contains(text, `surrogate_tls_expires_seconds{name="shop.example"} 1`) || !strings.Contains(text, "surrogate_tls_obtained_total 1") {
				t.Error("/metrics lacks the certificate")
			}
			if _, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "other.example", RootCAs: a.pool}); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("a host of nobody: %v", err)
			}
			if _, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "other.example", RootCAs: a.pool, NextProtos: []string{challengeProtocol}}); err == nil {
				t.Error("a challenge of nobody was answered")
			}

			writeFile(t, file, site(`"shop.example", "blog.example"`))
			p.signal(t, syscall.SIGHUP)
			p.log.await(t, `msg="got a certificate" host=blog.example`)
			answers("blog.example")

			writeFile(t, file, site(`"shop.example"`)) // it is not shown any more
			p.signal(t, syscall.SIGHUP)
			p.log.await(t, "(?s)msg=reloaded.*msg=reloaded")
			if _, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "blog.example", RootCAs: a.pool}); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("a host that was taken away: %v", err)
			}
			writeFile(t, file, site(`"shop.example", "blog.example"`))
			p.signal(t, syscall.SIGHUP)
			answers("blog.example")
			p.signal(t, syscall.SIGTERM)
			if code := p.ended(t); code != 0 {
				t.Errorf("ended with %d", code)
			}
			if log := p.log.String(); strings.Count(log, "got a certificate") != 2 || strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") || strings.Contains(log, "maintenance") {
				t.Errorf("said:\n%s", log)
			}

			s.process.Process.Kill() // nobody needs it any more
			again := launch(t, programWith(t, args...))
			again.ready(t)
			answers("shop.example")
			answers("blog.example")
			if info, err := os.Stat(storage); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the storage is %v, %v", info.Mode(), err)
			}
		})
	}
}

// Without a certificate the site is served over HTTP all the same, and the log says
// what is wrong.
func TestACMEFails(t *testing.T) {
	s := startPebble(t)
	origin, _ := taggingOrigin(t)
	args := s.args(filepath.Join(t.TempDir(), "acme"), "any")
	args = append(args, "--origin", origin, "--set", "tls.acme_hosts=shop.example", "--set", "tls.acme_ca=https://127.0.0.1:1/dir")
	p := launch(t, programWith(t, args...))
	p.ready(t)
	p.log.await(t, `level=ERROR msg="could not get certificate from issuer" about=certificates error=.*connection refused`)
	if got := get(t, p.proxy+"/"); got.StatusCode != 200 {
		t.Errorf("over HTTP: %s", got.Status)
	}
	eventually(t, func() error {
		if text := get(t, p.admin+"/metrics").body; !strings.Contains(text, "surrogate_tls_failures_total 1") {
			return errors.New("/metrics counts no failure")
		}
		return nil
	})
	began := time.Now()
	p.signal(t, syscall.SIGTERM)
	if code := p.ended(t); code != 0 || time.Since(began) > patience/2 {
		t.Errorf("ended with %d after %v", code, time.Since(began))
	}
}

// What certmagic says through zap comes out of our log, steps at debug level.
func TestZapToSlog(t *testing.T) {
	var b bytes.Buffer
	level := new(slog.LevelVar)
	log := zap.New(zapToSlog{log: slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "time" {
			return slog.Attr{}
		}
		return a
	}}))})
	log.With(zap.String("host", "shop.example")).Error("failed", zap.Error(errors.New("why")), zap.Int("n", 3))
	log.Info("a step")
	log.Warn("take care", zap.Duration("in", time.Second))
	level.Set(slog.LevelDebug)
	log.Named("obtain").Info("a step", zap.Strings("of", []string{"a", "b"}))
	want := `level=ERROR msg=failed about=certificates error=why host=shop.example n=3
level=WARN msg="take care" about=certificates in=1s
level=DEBUG msg="a step" about=certificates of="[a b]"
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", &b, want)
	}
}
