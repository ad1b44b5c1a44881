package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/proxy"
	"surrogate/store"
)

// Peek makes a flakyStore one that hits are answered from inline.
func (s *flakyStore) Peek(key store.Key, ask store.Picker, f *store.Found) bool {
	return !s.broken.Load() && s.Store.(store.Peeker).Peek(key, ask, f)
}

// A wire is a server's end of a connection whose client sends what is in input,
// in pieces, and then no more. It behaves as a socket does, and needs none: so a
// history can be played in fake time, and a fuzzer is fast.
type wire struct {
	peer, port string
	done       chan struct{} // closed with it

	mu       sync.Mutex // guards what follows
	cond     *sync.Cond
	input    []byte
	piece    int  // the most that comes at once; 0: all of it
	open     bool // there may be more input
	waits    bool // a request is worked on, and the client does not leave before it is answered
	output   bytes.Buffer
	leaving  bool // there is no more input
	left     bool // and it was told
	deadline time.Time
	writeBy  time.Time // looked at when a write begins: none waits
	closed   bool
	timer    *time.Timer
}

var ports atomic.Uint64

func newWire(peer string, input []byte, piece int) *wire {
	w := &wire{peer: peer, port: strconv.FormatUint(ports.Add(1), 10), done: make(chan struct{}), input: input, piece: piece}
	w.cond = sync.NewCond(&w.mu)
	return w
}

func (w *wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.closed:
			return 0, &net.OpError{Op: "read", Err: net.ErrClosed}
		case !w.deadline.IsZero() && !time.Now().Before(w.deadline):
			return 0, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
		case len(w.input) > 0:
			n := len(w.input)
			if w.piece > 0 {
				n = min(n, w.piece)
			}
			n = copy(p, w.input[:n])
			w.input = w.input[n:]
			return n, nil
		case w.open:
		case len(p) > 1 || w.left && !w.waits:
			return 0, io.EOF
		case w.waits:
		case !w.leaving:
			// Whoever reads a single byte may want to know whether the client leaves
			// while its request is worked on, which is going to begin at once then.
			w.leaving = true
			time.AfterFunc(5*time.Millisecond, func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.left = true
				w.cond.Broadcast()
			})
		}
		w.cond.Wait()
	}
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, &net.OpError{Op: "write", Err: net.ErrClosed}
	}
	if !w.writeBy.IsZero() && !time.Now().Before(w.writeBy) {
		return 0, &net.OpError{Op: "write", Err: os.ErrDeadlineExceeded}
	}
	w.cond.Broadcast()
	return w.output.Write(p)
}

func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		close(w.done)
	}
	w.closed = true
	w.stop()
	w.cond.Broadcast()
	return nil
}

func (w *wire) stop() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop()
	if w.deadline = t; !t.IsZero() && !w.closed {
		w.timer = time.AfterFunc(time.Until(t), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.cond.Broadcast()
		})
	}
	w.cond.Broadcast()
	return nil
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeBy = t
	return nil
}

func (w *wire) SetDeadline(t time.Time) error {
	_ = w.SetWriteDeadline(t)
	return w.SetReadDeadline(t)
}

func (w *wire) LocalAddr() net.Addr  { return wireAddr("127.0.0.1:80") }
func (w *wire) RemoteAddr() net.Addr { return wireAddr(w.peer + ":" + w.port) }

// say adds to what the client sends.
func (w *wire) say(input string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.input = append(w.input, input...)
	w.cond.Broadcast()
}

func (w *wire) await(answer bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits = answer
}

type wireAddr string

func (wireAddr) Network() string  { return "tcp" }
func (a wireAddr) String() string { return string(a) }

// A wires listener hands out connections until it is closed.
type wires struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newWires() *wires { return &wires{conns: make(chan net.Conn), done: make(chan struct{})} }

func (l *wires) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *wires) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *wires) Addr() net.Addr { return wireAddr("127.0.0.1:80") }

// A wired house is served over wires, with hits answered inline or not.
type wired struct {
	server *http.Server
	inline *proxy.Inline // nil: it is net/http alone
	wires  *wires
	served sync.Map // the wires that are being served, by their peers
	long   func()   // called for each request that goes the long way

	mu   sync.Mutex // guards idle
	idle []*wire    // for ServeHTTP
}

// newWired serves a house like the program does.
func newWired(h *house, inline bool) *wired { return newWiredOver(h, inline, false) }

func newWiredOver(h *house, inline, secure bool) *wired {
	return newWiredFor(h.proxy, h.public, inline, secure)
}

func newWiredFor(by *proxy.Proxy, public http.Handler, inline, secure bool) *wired {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	s := &wired{wires: newWires(), long: func() {}}
	s.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.long()
			if c, ok := s.served.Load(r.RemoteAddr); ok {
				c.(*wire).await(true)
				defer c.(*wire).await(false)
			}
			public.ServeHTTP(w, r)
		}),
		Protocols: &p, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second, MaxHeaderBytes: 64 << 10,
		DisableGeneralOptionsHandler: true, ErrorLog: log.New(io.Discard, "", 0),
	}
	var l net.Listener = s.wires
	switch {
	case inline && secure:
		s.inline = by.Inline(s.server)
		l = s.inline.SecureListener(l, serverTLS())
	case inline:
		s.inline = by.Inline(s.server)
		l = s.inline.Listener(l)
	case secure:
		l = tls.NewListener(l, serverTLS())
	}
	go s.server.Serve(l)
	return s
}

// close ends it, whatever is under way.
func (s *wired) close() {
	s.server.Close()
	if s.inline != nil {
		s.inline.Cut()
	}
}

// serve lets the server serve a wire, and returns a channel that is closed at
// its end.
func (s *wired) serve(w *wire) chan struct{} {
	s.served.Store(w.RemoteAddr().String(), w)
	s.wires.conns <- w
	return w.done
}

// ServeHTTP makes a wired house the way to it: as a handler, it sends the request
// over a wire, one that is idle if there is any.
func (s *wired) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	peer, _, _ := net.SplitHostPort(r.RemoteAddr)
	w := s.take(peer)
	defer context.AfterFunc(r.Context(), func() { w.Close() })()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Host)
	r.Header.Write(&b)
	b.WriteString("\r\n")
	w.say(b.String())
	in := bufio.NewReader(clientsEnd{w})
	for {
		resp, err := http.ReadResponse(in, r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		maps.Copy(rw.Header(), resp.Header)
		rw.WriteHeader(resp.StatusCode)
		if resp.StatusCode < 200 {
			clear(rw.Header())
			continue
		}
		if _, err := io.Copy(rw, resp.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		if !resp.Close && in.Buffered() == 0 {
			s.mu.Lock()
			s.idle = append(s.idle, w)
			s.mu.Unlock()
		} else {
			w.Close()
		}
		return
	}
}

func (s *wired) take(peer string) *wire {
	s.mu.Lock()
	for len(s.idle) > 0 {
		w := s.idle[len(s.idle)-1]
		s.idle = s.idle[:len(s.idle)-1]
		w.mu.Lock()
		usable := !w.closed && w.peer == peer
		w.mu.Unlock()
		if usable {
			s.mu.Unlock()
			return w
		}
	}
	s.mu.Unlock()
	w := newWire(peer, nil, 0)
	w.open = true
	s.serve(w)
	return w
}

// A clientsEnd reads what the server has written.
type clientsEnd struct{ w *wire }

func (c clientsEnd) Read(p []byte) (int, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for c.w.output.Len() == 0 {
		if c.w.closed {
			return 0, io.EOF
		}
		c.w.cond.Wait()
	}
	return c.w.output.Read(p)
}

// What depends on the clock in an answer.
var (
	ages  = regexp.MustCompile(`(?m)^Age: \d+$`)
	ttls  = regexp.MustCompile(`ttl=-?\d+`)
	dates = regexp.MustCompile(`(?m)^Date: .*$`)
)

// answersIn takes apart what a server sent. Field lines are sorted, and
// what depends on the clock is blotted out unless the clock is exact.
func answersIn(output []byte, exact bool) []string {
	var all []string
	for rest := output; len(rest) > 0; {
		r := bufio.NewReader(bytes.NewReader(rest))
		resp, err := http.ReadResponse(r, &http.Request{Method: "GET"})
		if err != nil {
			return append(all, fmt.Sprintf("not a response: %v %q", err, rest))
		}
		head, after, _ := bytes.Cut(rest, []byte("\r\n\r\n"))
		lines := strings.Split(string(head), "\r\n")
		slices.Sort(lines[1:])
		text := strings.Join(lines, "\n")
		if !exact {
			text = ages.ReplaceAllString(text, "Age: *")
			text = ttls.ReplaceAllString(text, "ttl=*")
		}
		text = dates.ReplaceAllString(text, "Date: *")
		if bytes.HasPrefix(after, []byte("HTTP/1.")) {
			rest = after // no body: our bodies do not begin like that
		} else {
			body, err := io.ReadAll(resp.Body)
			text += fmt.Sprintf("\n\n%d %.40q %08x %v", len(body), body, crc32.ChecksumIEEE(body), err)
			rest, _ = io.ReadAll(r)
		}
		all = append(all, text)
	}
	return all
}

const fixedDate = "Mon, 02 Jan 2006 15:04:05 GMT"
