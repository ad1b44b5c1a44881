package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

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
	peer string
	done chan struct{} // closed when the server is done with it

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
	closed   bool
	timer    *time.Timer
}

func newWire(peer string, input []byte, piece int) *wire {
	w := &wire{peer: peer, done: make(chan struct{}), input: input, piece: piece}
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
		case w.open || w.waits:
		case len(p) > 1 || w.left:
			return 0, io.EOF
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
	w.cond.Broadcast()
	return w.output.Write(p)
}

func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
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

func (w *wire) SetDeadline(t time.Time) error    { return w.SetReadDeadline(t) }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
func (w *wire) LocalAddr() net.Addr              { return wireAddr("127.0.0.1:80") }
func (w *wire) RemoteAddr() net.Addr             { return wireAddr(w.peer + ":40000") }

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
	wires  *wires
	served sync.Map // the wires that are being served, by their peers
	long   func()   // called for each request that goes the long way
}

// newWired serves handler like the program does.
func newWired(h *house, inline bool) *wired {
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
			h.public.ServeHTTP(w, r)
		}),
		Protocols: &p, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second, MaxHeaderBytes: 64 << 10,
		DisableGeneralOptionsHandler: true, ErrorLog: log.New(io.Discard, "", 0),
	}
	s.server.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			if w, ok := s.served.LoadAndDelete(c.RemoteAddr().String()); ok {
				close(w.(*wire).done)
			}
		}
	}
	var l net.Listener = s.wires
	if inline {
		l = h.proxy.Inline(s.server).Listener(l)
	}
	go s.server.Serve(l)
	return s
}

// serve lets the server serve a wire, whose peer nobody else has at the time,
// and returns a channel that is closed at its end.
func (s *wired) serve(w *wire) chan struct{} {
	s.served.Store(w.RemoteAddr().String(), w)
	s.wires.conns <- w
	return w.done
}

// An exchange is what one request was answered, in a form that two can be
// compared in.
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
			text += fmt.Sprintf("\n\n%d %.40q %v", len(body), body, err)
			rest, _ = io.ReadAll(r)
		}
		all = append(all, text)
	}
	return all
}

const fixedDate = "Mon, 02 Jan 2006 15:04:05 GMT"
