package judge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// docs is a manual as a package installs it: HTML, scripts, styles and images,
// some of it behind symbolic links.
const docs = "/usr/share/doc/python-jinja2-doc/html"

// A browser that reads a manual through surrogate gets all of it as nginx serves it, and the
// second reader gets it from the cache.
func TestDocumentation(t *testing.T) {
	needPrograms(t, "nginx", "chromium")
	if _, err := os.Stat(docs); err != nil {
		lacking(t, "the Debian package python-jinja2-doc is not installed")
	}
	origin := startNginx(t, docs)
	p := startProxy(t, origin, "")

	const site = "http://docs.example/"
	pages := []string{"", "templates.html", "search.html?q=filter"}
	ctx := within(t, 2*time.Minute)
	direct := startChrome(t, origin)
	through := startChrome(t, p.addr)
	reader, first, second := direct.newTab(t, ctx), through.newTab(t, ctx), through.newTab(t, ctx)
	for _, page := range pages {
		want := reader.open(t, ctx, site+page)
		if len(want.got) < 5 {
			t.Fatalf("%s: %d resources: that is no page worth looking at", page, len(want.got))
		}
		first.open(t, ctx, site+page).sameAs(t, want, asIs)
		again := second.open(t, ctx, site+page)
		again.sameAs(t, want, asIs)
		hits := 0
		for what, r := range again.got {
			switch {
			case r.own: // left in this reader's browser by an earlier page
			case r.hit():
				hits++
			default:
				t.Errorf("%s: no hit for the second reader: Cache-Status %q", what, r.header.Get("Cache-Status"))
			}
		}
		t.Logf("/%s: %d resources, %d of them hits for the second reader, the others in her browser", page, len(again.got), hits)
	}
}

// So does one who comes over HTTPS, which for a browser is HTTP/2: all at once on one
// connection, hits and others.
func TestDocumentationHTTP2(t *testing.T) {
	needPrograms(t, "nginx", "chromium")
	if _, err := os.Stat(docs); err != nil {
		lacking(t, "the Debian package python-jinja2-doc is not installed")
	}
	origin := startNginx(t, docs)
	secure := "127.0.0.1:" + freePort(t)
	startProxy(t, origin, fmt.Sprintf("[tls]\nlisten = %q\ncertificates = [%q]\n", secure, certificate(t)))

	pages := []string{"", "templates.html", "search.html?q=filter"}
	ctx := within(t, 2*time.Minute)
	direct, through := startChrome(t, origin), startChrome(t, secure, "--ignore-certificate-errors")
	// Readers have nothing of each other's in their browser's cache.
	reader, first, second := direct.newTab(t, ctx), through.newTab(t, ctx), through.newTab(t, ctx)
	asHTTP := func(text string) string {
		return strings.ReplaceAll(text, "https://docs.example", "http://docs.example")
	}
	for _, page := range pages {
		want := reader.open(t, ctx, "http://docs.example/"+page)
		first.open(t, ctx, "https://docs.example/"+page).sameAs(t, want, asHTTP)
		again := second.open(t, ctx, "https://docs.example/"+page)
		again.sameAs(t, want, asHTTP)
		hits := 0
		for what, r := range again.got {
			switch {
			case r.own:
			case !r.hit() || r.protocol != "h2":
				t.Errorf("%s: no hit over HTTP/2 for the second reader: %s, Cache-Status %q", what, r.protocol, r.header.Get("Cache-Status"))
			default:
				hits++
			}
		}
		if page == "" && hits < 5 {
			t.Errorf("%d hits only: that is no page worth looking at", hits)
		}
	}
}

// certificate makes one that nobody trusts, and returns the file that it and its key
// are in.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"docs.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	text, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "docs.pem")
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: text}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startNginx serves a directory and returns where.
func startNginx(t *testing.T, root string) (addr string) {
	t.Helper()
	dir, addr := t.TempDir(), "127.0.0.1:"+freePort(t)
	file := filepath.Join(dir, "nginx.conf")
	user := ""
	if os.Getuid() == 0 { // or its workers could not write here
		user = "user root;"
	}
	text := fmt.Sprintf(`%s daemon off; worker_processes 1; pid %[2]s/pid; error_log stderr;
events {}
http {
	include /etc/nginx/mime.types;
	access_log off; sendfile on; gzip on; gzip_vary on; gzip_types text/css application/javascript;
	client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
	server {
		listen %[3]s;
		root %[4]s;
		expires 1h;
	}
}
`, user, dir, addr, root)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, exec.Command("nginx", "-e", "stderr", "-p", dir, "-c", file)).ready(t, "http://"+addr+"/")
	return addr
}
