package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// The names of the servers, as the tables have them.
const (
	floorName     = "floor"
	surrogateName = "surrogate"
	besideName    = "the other"
	haproxyName   = "HAProxy"
	nginxName     = "nginx"
	varnishName   = "Varnish"
	reverseName   = "ReverseProxy"
)

var names = []string{floorName, surrogateName, besideName, haproxyName, nginxName, varnishName, reverseName}

// A server is something that is measured.
type server struct {
	*process
	addr   string
	secure string // over TLS, where it speaks that
	admin  string // surrogate's
	files  string // where it keeps what it stores, if not in memory
	purge  func(tag string) []byte
}

// at is where a server is asked by a kind of row.
func (x *server) at(o over) string {
	if o == overTCP {
		return x.addr
	}
	return x.secure
}

// A setting is what the configurations are made from.
type setting struct {
	Port, Secure, Admin    int
	Certificate            string
	Origin                 string
	OriginHost, OriginPort string
	Dir, Files             string
	Megabytes              int // for what is stored
	IndexMegabytes         int // nginx: for keys
	FileMegabytes          int // nginx: for files, which fill whole pages
	Root, Xkey             bool
	Redis                  string
	Rewarm                 int // pages that are fetched again after a purge
	Concurrency            int // fetches for that at once; 0 for the default
}

// setting is one for a server in a new directory.
func (b *bench) setting(name, origin string, megabytes int) (setting, error) {
	host, originPort, err := net.SplitHostPort(origin)
	if err != nil {
		return setting{}, err
	}
	s := setting{
		Origin: origin, OriginHost: host, OriginPort: originPort,
		Megabytes: megabytes, IndexMegabytes: max(16, megabytes/16), FileMegabytes: 4 * megabytes,
		Certificate: b.certificate,
		Root:        os.Geteuid() == 0, Xkey: hasFile(xkeyPattern),
	}
	if s.Port, err = port(); err != nil {
		return setting{}, err
	}
	if s.Secure, err = port(); err != nil {
		return setting{}, err
	}
	if s.Admin, err = port(); err != nil {
		return setting{}, err
	}
	if s.Dir, err = os.MkdirTemp(b.dir, name+"-"); err != nil {
		return setting{}, err
	}
	s.Files, err = os.MkdirTemp(b.shm, name+"-")
	return s, err
}

// there reports whether a server can be started here.
func (b *bench) there(name string) bool {
	if b.o.beside != "" {
		return name == surrogateName || name == besideName
	}
	switch name {
	case besideName:
		return false
	case floorName:
		return b.floor != ""
	case haproxyName:
		return has("haproxy")
	case nginxName:
		return has("nginx")
	case varnishName:
		return has("varnishd") && has("gcc") // it compiles its configuration
	}
	return true
}

// launch starts a server in front of an origin, with this much memory to cache in.
func (b *bench) launch(ctx context.Context, name, origin string, megabytes int) (*server, error) {
	s, err := b.setting(name, origin, megabytes)
	if err != nil {
		return nil, err
	}
	return b.launchAs(ctx, name, s, b.server)
}

func (b *bench) launchAs(ctx context.Context, name string, s setting, cores string) (*server, error) {
	x := &server{addr: addrOf(s.Port), secure: addrOf(s.Secure)}
	conf := func(file string) (string, error) {
		path := filepath.Join(s.Dir, file)
		return path, b.write(file, path, s)
	}
	var env, args []string
	var path string
	var err error
	switch name {
	case surrogateName, besideName:
		program := b.program
		if name == besideName {
			program = b.o.beside
		}
		path, err = conf("surrogate.toml")
		args = []string{program, "serve", "--config", path}
		x.purge, x.admin = x.purgeTag, addrOf(s.Admin)
	case haproxyName:
		path, err = conf("haproxy.cfg")
		args = []string{programPath("haproxy"), "-db", "-f", path}
	case nginxName:
		path, err = conf("nginx.conf")
		args = []string{programPath("nginx"), "-c", path, "-p", s.Dir, "-e", "stderr"}
		x.files = s.Files
	case varnishName:
		path, err = conf("varnish.vcl")
		args = []string{programPath("varnishd"), "-F", "-j", "none", "-n", filepath.Join(s.Dir, "work"), "-a", x.addr, "-T", "none",
			"-f", path, "-s", "malloc," + strconv.Itoa(s.Megabytes) + "m"}
		if s.Xkey {
			x.purge = x.purgeTag
		}
	case reverseName:
		env = []string{roleVariable + "=" + reverseRole, addrVariable + "=" + x.addr, originVariable + "=" + s.Origin}
		args = []string{b.self}
	default:
		err = fmt.Errorf("no server %q", name)
	}
	if err != nil {
		return nil, err
	}
	x.process, err = b.begin(ctx, cores, name, x.addr, env, args...)
	return x, err
}

// purgeTag is a request that surrogate and the VCL understand alike.
func (x *server) purgeTag(tag string) []byte {
	return requestOf("PURGE", x.addr, "/", "Surrogate-Key", tag)
}

// launchFloor starts a floor that answers as this.
func (b *bench) launchFloor(ctx context.Context, wire []byte) (*server, error) {
	at, err := port()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(b.dir, "floor-"+strconv.Itoa(at))
	if err := os.WriteFile(path, wire, 0o644); err != nil {
		return nil, err
	}
	x := &server{addr: addrOf(at)}
	x.process, err = b.begin(ctx, b.server, floorName, x.addr, nil, b.floor, strconv.Itoa(at), path)
	return x, err
}

// kept is what a server holds for what it stores, in bytes: memory, and files.
func (x *server) kept() (int64, error) {
	n, err := x.resident()
	if err != nil || x.files == "" {
		return n, err
	}
	out, err := exec.Command("du", "-s", "--block-size=1", x.files).Output()
	if err != nil {
		return 0, fmt.Errorf("du %s: %w", x.files, err)
	}
	var files int64
	_, err = fmt.Sscan(string(out), &files)
	return n + files, err
}
