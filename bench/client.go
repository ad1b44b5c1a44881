package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A conn is a client's connection that asks for one thing at a time. It knows as
// much of HTTP as the servers here use, and is fast enough to fill a cache.
type conn struct {
	net.Conn
	in   *bufio.Reader
	body []byte
}

// An answer is what a server said. It holds until the connection's next one.
type answer struct {
	status int
	head   []byte // with the status line and the empty line
	body   []byte
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return newConn(c), nil
}

func newConn(c net.Conn) *conn { return &conn{Conn: c, in: bufio.NewReaderSize(c, 64<<10)} }

// browser is what a browser sends, as NAME, VALUE pairs; files/load.lua has the same.
var browser = []string{
	"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	"Accept-Language", "en-US,en;q=0.5",
	"Accept-Encoding", "gzip, deflate",
}

// request is a GET as wrk sends it (files/load.lua); fields are NAME, VALUE pairs.
func request(addr, path string, fields ...string) []byte {
	return requestOf("GET", addr, path, fields...)
}

func requestOf(method, addr, path string, fields ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, addr)
	for pair := range slices.Chunk(append(slices.Clone(browser), fields...), 2) {
		fmt.Fprintf(&b, "%s: %s\r\n", pair[0], pair[1])
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// do sends a request and reads its answer.
func (c *conn) do(req []byte) (answer, error) {
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return answer{}, err
	}
	if _, err := c.Write(req); err != nil {
		return answer{}, err
	}
	return c.read()
}

func (c *conn) read() (answer, error) {
	a := answer{head: c.body[:0]}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return answer{}, fmt.Errorf("reading an answer: %w", err)
		}
		a.head = append(a.head, line...)
		if len(line) <= 2 {
			break
		}
	}
	if len(a.head) < len("HTTP/1.1 200") {
		return answer{}, fmt.Errorf("an answer begins %q", a.head)
	}
	var err error
	if a.status, err = strconv.Atoi(string(a.head[9:12])); err != nil {
		return answer{}, fmt.Errorf("an answer begins %q", a.head)
	}
	length := 0
	if a.status != 304 && a.status != 204 {
		if length, err = strconv.Atoi(a.field("content-length")); err != nil {
			return answer{}, fmt.Errorf("an answer without a length: %q", a.head)
		}
	}
	h := len(a.head)
	c.body = slices.Grow(a.head, length)[:h+length]
	if _, err := io.ReadFull(c.in, c.body[h:]); err != nil {
		return answer{}, fmt.Errorf("reading a body: %w", err)
	}
	a.head, a.body = c.body[:h], c.body[h:]
	return a, nil
}

// field is the value of a response field, by its name in lower case.
func (a answer) field(name string) string {
	for line := range bytes.Lines(a.head) {
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return string(bytes.TrimSpace(line[len(name)+1:]))
		}
	}
	return ""
}

// get asks once, on a connection of its own.
func get(addr, path string, fields ...string) (answer, error) {
	return getBy(dial, addr, path, fields...)
}

func getBy(dial func(addr string) (*conn, error), addr, path string, fields ...string) (answer, error) {
	c, err := dial(addr)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	a, err := c.do(request(addr, path, fields...))
	if err != nil {
		return answer{}, fmt.Errorf("GET %s%s: %w", addr, path, err)
	}
	return a, nil
}

// fill asks a server for n paths, several at a time, all of which have to be
// answered with 200.
func fill(ctx context.Context, addr string, n int, path func(i int) string) error {
	return fillBy(ctx, dial, addr, n, path)
}

func fillBy(ctx context.Context, dial func(addr string) (*conn, error), addr string, n int, path func(i int) string) error {
	const clients = 8
	var next atomic.Int64
	failed := make(chan error, clients)
	one := func() error {
		c, err := dial(addr)
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return nil
			}
			if i%256 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			a, err := c.do(request(addr, path(i)))
			if err == nil && a.status != 200 {
				err = fmt.Errorf("answered %d", a.status)
			}
			if err != nil {
				next.Store(int64(n)) // the others need not go on
				return fmt.Errorf("GET %s%s: %w", addr, path(i), err)
			}
		}
	}
	for range clients {
		go func() { failed <- one() }()
	}
	var first error
	for range clients {
		if err := <-failed; first == nil {
			first = err
		}
	}
	return first
}
