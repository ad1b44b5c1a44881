package fleet

import (
	"net"
	"sync"
	"testing"
	"time"
)

// A link is the network between a node, or a replica, and Redis: a listener that
// passes on what comes, or does to it what networks do.
type link struct {
	addr string
	l    net.Listener
	wg   sync.WaitGroup

	mu      sync.Mutex // guards what follows
	target  string
	is      weather
	changed chan struct{} // closed when is changes
	conns   map[net.Conn]bool
	closed  bool
}

// A weather is what a link does. The zero value passes everything on.
type weather struct {
	cut   bool          // connections break, new ones too
	there bool          // what goes to Redis is held back
	back  bool          // what comes from Redis is held back
	slow  time.Duration // each piece takes so long, either way
}

func newLink(t testing.TB, target string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{addr: l.Addr().String(), l: l, target: target, changed: make(chan struct{}), conns: make(map[net.Conn]bool)}
	k.wg.Go(k.accept)
	t.Cleanup(k.close)
	return k
}

func (k *link) accept() {
	for {
		c, err := k.l.Accept()
		if err != nil {
			return
		}
		k.wg.Go(func() { k.carry(c) })
	}
}

// carry passes on one connection.
func (k *link) carry(near net.Conn) {
	defer k.drop(near)
	k.mu.Lock()
	target, ok := k.target, !k.is.cut && !k.closed
	k.conns[near] = true
	k.mu.Unlock()
	if !ok {
		return
	}
	far, err := net.DialTimeout("tcp", target, time.Second)
	if err != nil {
		return
	}
	defer k.drop(far)
	k.mu.Lock()
	ok = !k.is.cut && !k.closed
	k.conns[far] = true
	k.mu.Unlock()
	if !ok {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { k.copy(far, near, func(w weather) bool { return w.there }) })
	both.Go(func() { k.copy(near, far, func(w weather) bool { return w.back }) })
	both.Wait()
}

// drop closes a connection as a broken one is closed.
func (k *link) drop(c net.Conn) {
	k.mu.Lock()
	delete(k.conns, c)
	k.mu.Unlock()
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// copy passes on one direction. What is held back is passed on when that ends,
// late, as by a network that sends again.
func (k *link) copy(to, from net.Conn, held func(weather) bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			k.mu.Lock()
			for held(k.is) && !k.is.cut && !k.closed {
				changed := k.changed
				k.mu.Unlock()
				<-changed
				k.mu.Lock()
			}
			slow := k.is.slow
			k.mu.Unlock()
			if slow > 0 {
				time.Sleep(slow) // this is what a slow network does
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// set changes the weather.
func (k *link) set(w weather) {
	k.mu.Lock()
	k.is = w
	close(k.changed)
	k.changed = make(chan struct{})
	k.mu.Unlock()
	if w.cut {
		k.breakAll()
	}
}

// lead points the link elsewhere.
func (k *link) lead(target string) {
	k.mu.Lock()
	k.target = target
	k.mu.Unlock()
	k.breakAll()
}

func (k *link) breakAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (k *link) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	_ = k.l.Close()
	k.set(weather{cut: true})
	k.wg.Wait()
}
